"""The parts follow each other with gaps, whatever the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import BadInputError
from include.ml.splits import MIN_FIT, MIN_HOLDOUT, MIN_INNER, split_samples


@given(st.integers(0, 20_000), st.floats(0.001, 0.499), st.integers(1, 48))
def test_parts_are_ordered_separated_and_large_enough_or_refused(count: int, share: float, gap: int) -> None:
    try:
        split = split_samples(count, share, gap)
    except BadInputError:
        return
    assert split.fit.start == 0
    assert split.inner.start - split.fit.stop == gap
    assert split.holdout.start - split.inner.stop == gap
    assert split.holdout.stop == count
    assert len(split.holdout) == round(count * share)
    assert len(split.fit) >= MIN_FIT
    assert len(split.inner) >= MIN_INNER
    assert len(split.holdout) >= MIN_HOLDOUT


def test_sixty_days_of_hours() -> None:
    split = split_samples(1432, 0.2, 8)
    assert (len(split.fit), len(split.inner), len(split.holdout)) == (902, 228, 286)


def test_too_few_samples_name_the_numbers_and_the_remedy() -> None:
    with pytest.raises(
        BadInputError, match=r"Insufficient data: 60 labelled samples .*make 24 to learn from .*days_of_data"
    ):
        split_samples(60, 0.2, 8)
