"""What may be stored, and how the rest is refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import BadInputError
from include.notify.scrub import scrub
from include.store.documents import storable
from tests.notify.test_scrub import SECRETS

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.none() | st.just(UTC))
)
documents = st.dictionaries(
    st.text(max_size=4),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)),
    max_size=4,
)


def _is_good(value: Any) -> bool:
    if isinstance(value, dict):
        return all("\0" not in key and _is_good(part) for key, part in value.items())
    if isinstance(value, list):
        return all(_is_good(part) for part in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not (isinstance(value, datetime) and value.tzinfo is None)


@given(document=documents)
def test_everything_is_either_unchanged_or_refused(document: dict[str, Any]) -> None:
    if _is_good(document):
        assert storable(document) == document
    else:
        with pytest.raises(BadInputError):
            storable(document)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")])
def test_number_that_is_none_names_its_path(number: float) -> None:
    with pytest.raises(BadInputError, match=r"^results\.models\.1\.accuracy is -?(nan|inf);"):
        storable({"results": {"models": [{"accuracy": 0.5}, {"accuracy": number}]}})


def test_nan_inside_an_array_names_its_position() -> None:
    with pytest.raises(BadInputError, match=r"^losses\.2 is nan"):
        storable({"losses": np.array([1.0, 2.0, np.nan])})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime.fromisoformat("2026-01-01T00:00:00"), "without a time zone"),
        (date(2026, 1, 1), "a date, which cannot be stored; use an aware datetime"),
        (2**63, "does not fit into 64 bits"),
        (Decimal("1.5"), "a Decimal, which cannot be stored"),
        ({1, 2}, "a set, which cannot be stored"),
        ({1: "x"}, "has the key 1, a int"),
        (np.datetime64("2026-01-01T00:00:00", "ms"), "without a time zone"),
    ],
)  # fmt: skip
def test_other_things_that_cannot_be_stored_name_their_path(value: object, words: str) -> None:
    with pytest.raises(BadInputError, match=rf"^at\.0 .*{words}"):
        storable({"at": [value]})


def test_numpy_becomes_plain_and_survives_bson() -> None:
    clean = storable(
        {
            "f32": np.float32(0.5), "i64": np.int64(7), "flag": np.bool_(True), "text": np.str_("x"),
            "array": np.arange(3), "matrix": np.eye(2), "tuple": (1, 2.5), "at": datetime(2026, 1, 1, tzinfo=UTC),
        }
    )  # fmt: skip
    assert {key: type(value) for key, value in clean.items()} == {
        "f32": float, "i64": int, "flag": bool, "text": str,
        "array": list, "matrix": list, "tuple": list, "at": datetime,
    }  # fmt: skip
    assert bson.decode(bson.encode(clean), bson.CodecOptions(tz_aware=True)) == clean


def test_a_list_is_no_document() -> None:
    with pytest.raises(BadInputError, match="a list is no document"):
        storable([1])  # type: ignore[arg-type]


@pytest.mark.critical
def test_half_characters_become_question_marks_as_no_database_takes_them() -> None:
    answer = json.loads(r'{"reason": "cut \ud83d", "who \udc00": ["\udfff", 1]}')
    document = storable(answer)
    assert document == {"reason": "cut ?", "who ?": ["?", 1]}
    assert bson.decode(bson.encode(document)) == document


def test_a_key_with_a_nul_is_refused_by_its_path() -> None:
    with pytest.raises(BadInputError, match=r"results\.a has the key .* with a NUL"):
        storable({"results": {"a": {"b\0c": 1}}})


@pytest.mark.critical
@pytest.mark.parametrize("secret", [*SECRETS, "password=hunter2", "mongodb://ops:hunter2@db/", "--token hunter2"])
def test_a_secret_in_any_text_is_not_stored(secret: str) -> None:
    document = {"_id": "run:1", "why": {"engine": [f"it said {secret}"]}, "sha256": "ab" * 32, "symbol": "BTCUSDT"}
    assert storable(document) == {**document, "why": {"engine": [scrub(f"it said {secret}")]}}
    assert secret not in str(storable(document))


def test_the_identity_of_a_document_stays_whatever_it_looks_like() -> None:
    identity = {"_id": "failure:token=abc", "task_id": "token=abc", "dedupe_key": "failure:token=abc"}
    assert storable(identity) == identity
