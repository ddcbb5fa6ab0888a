"""Pools and workers fit the machine, and the watchmen always find a slot."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from include.settings import Settings
from ops.sizing import POOLS_FILE, Sizes, sized_pools


@given(cores=st.integers(1, 256), trainings=st.integers(1, 64), gpus=st.integers(0, 16))
def test_trainings_leave_room_for_everything_else(cores: int, trainings: int, gpus: int) -> None:
    sizes = Sizes.of_machine(Settings(max_concurrent_trainings=trainings, gpu_count=gpus), cores)
    assert 1 <= sizes.pools["cpu_training"] <= min(cores, trainings)
    assert sizes.pools["gpu"] == gpus
    assert sizes.parallelism > sum(sizes.pools.values())


def test_two_cores_start_nine_workers() -> None:
    sizes = Sizes.of_machine(Settings(max_concurrent_trainings=2, gpu_count=0), cores=2)
    assert sizes.pools == {"cpu_training": 2, "gpu": 0, "critical": 3, "emergency": 1, "default_pool": 2}
    assert sizes.parallelism == 9


def test_the_template_has_the_pools_that_are_sized_and_keeps_their_descriptions() -> None:
    template = json.loads(POOLS_FILE.read_text())
    sizes = Sizes.of_machine(Settings(), cores=64)
    pools = sized_pools(sizes)
    assert set(template) == set(sizes.pools) == set(pools)
    assert all(pools[name] == {**template[name], "slots": sizes.pools[name]} for name in template)


def test_the_template_gives_as_many_training_slots_as_the_settings_default() -> None:
    template = json.loads(POOLS_FILE.read_text())
    assert template["cpu_training"]["slots"] == Settings.model_fields["max_concurrent_trainings"].default
    assert template["gpu"]["slots"] == Settings.model_fields["gpu_count"].default
