"""Many people who change something in Airflow at the same moment: each gets an answer."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chain.conftest import Bundle

pytestmark = pytest.mark.slow

PEOPLE, CHANGES = 6, 5


def test_changes_at_the_same_moment_do_not_stop_the_api_server(bundle: Bundle) -> None:
    """Without `OneWriter` the first ones are answered after a minute, with "Database error"."""
    prefix = f"at_once_{uuid.uuid4().hex[:6]}"

    def change(person: int) -> list[str]:
        keys = [f"{prefix}_{person}_{number}" for number in range(CHANGES)]
        for key in keys:
            bundle.client.request("POST", "/api/v2/variables", json={"key": key, "value": "x"})
        return keys

    with ThreadPoolExecutor(PEOPLE) as people:
        made = {key for keys in people.map(change, range(PEOPLE)) for key in keys}
    path = f"/api/v2/variables?variable_key_pattern={prefix}%25&limit=100"
    assert {variable["key"] for variable in bundle.client.request("GET", path)["variables"]} == made
    for key in made:
        bundle.client.request("DELETE", f"/api/v2/variables/{key}")
