"""Cutting samples, which follow each other in time, into parts that know nothing of each other.

    | fit ......... | gap | inner .... | gap | hold-out ..... |    time ->

The weights learn from *fit*; *inner* chooses the epoch; the *hold-out* judges and is touched by nothing
else. A label looks `gap` bars ahead, so the samples of a gap belong to no part: their labels would be
decided by candles of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.errors import BadInputError

INNER_SHARE = 0.2
"""Share of the training part (all before the hold-out and its gap) that chooses the epoch."""
MIN_FIT = 48
MIN_INNER = 8
MIN_HOLDOUT = 8


@dataclass(frozen=True)
class Split:
    """Positions `[start, stop)` of the three parts among the samples."""

    fit: range
    inner: range
    holdout: range


def split_samples(count: int, validation_split: float, gap: int) -> Split:
    """Return the parts of `count` samples, oldest first, with `gap` samples between neighbours.

    The hold-out is the newest `validation_split` of the samples, the inner slice the newest fifth of the rest.

    :raises BadInputError: when a part would be too small to mean anything.
    """
    holdout = round(count * validation_split)
    training = count - holdout - gap
    inner = round(max(training, 0) * INNER_SHARE)
    fit = training - inner - gap
    if fit < MIN_FIT or inner < MIN_INNER or holdout < MIN_HOLDOUT:
        raise BadInputError(
            f"Insufficient data: {count} labelled samples with validation_split={validation_split:g} make "
            f"{max(fit, 0)} to learn from (at least {MIN_FIT}), {inner} to choose the epoch (at least {MIN_INNER}) and "
            f"{holdout} held out (at least {MIN_HOLDOUT}); ask for more days_of_data"
        )
    return Split(range(fit), range(fit + gap, training), range(training + gap, count))
