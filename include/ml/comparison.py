"""Candidate and champion on the same bars, which neither of them has seen.

The hold-out of a candidate is no fair ground for an older champion that was trained on a part of it, so only
bars count that lie after the candidate's split *and* after everything that the champion's training has seen,
a label horizon and a gap further on. When too few remain, the answer is that no comparison was possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from include.errors import IntegrityError
from include.market.timeframes import timeframe_ms
from include.ml.loaded_model import load_model, score_model
from include.ml.spec import ModelSpec

if TYPE_CHECKING:
    from include.market.candle_store import CandleStore
    from include.ml.model_files import ModelFileStore
    from include.ml.model_record import ModelRecord

Status = Literal["first_model", "compared", "not_possible", "champion_unreadable"]


@dataclass(frozen=True)
class Comparison:
    """The outcome: `candidate` and `champion` are the scores on the same bars, where there were enough.

    `[start_ms, end_ms)` bounds the open times of the bars, `reason` says in words what is missing.
    """

    status: Status
    reason: str = ""
    bars: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    champion_model_id: str | None = None
    champion_version: int = 0
    candidate: Mapping[str, Any] | None = None
    champion: Mapping[str, Any] | None = None

    @property
    def accuracies(self) -> tuple[float, float]:
        """The candidate's and the champion's accuracy; NaN where one was not measured."""
        new, old = ((side or {}).get("accuracy") for side in (self.candidate, self.champion))
        return (float("nan") if new is None else new), (float("nan") if old is None else old)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {
            "status": self.status,
            "reason": self.reason,
            "bars": self.bars,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "champion_model_id": self.champion_model_id,
            "champion_version": self.champion_version,
            "candidate": dict(self.candidate) if self.candidate else None,
            "champion": dict(self.champion) if self.champion else None,
        }


def first_unseen_ms(spec: ModelSpec) -> int:
    """Return the open time (ms) from which on bars are fair ground for a model.

    That is the end of all that its training has seen, one label horizon and a gap of the same length further on.
    """
    return spec.training_end_ms + 2 * spec.label_horizon * timeframe_ms(spec.timeframe)


def common_start_ms(candidate: ModelSpec, champion: ModelSpec) -> int:
    """Return the open time (ms) of the first bar that both may be compared on."""
    return max(candidate.split_ms, first_unseen_ms(champion))


def compare(
    candidate: ModelRecord,
    champion: ModelRecord | None,
    *,
    files: ModelFileStore,
    candle_store: CandleStore,
    min_bars: int,
    champion_version: int = 0,
) -> Comparison:
    """Score both models on the bars that neither has seen, up to the end of the candidate's data.

    A champion that cannot be read is an outcome (`champion_unreadable`), not an error: it stays as it is and
    the message says what is wrong with it.

    :param min_bars: with fewer bars of known label the outcome is `not_possible`.
    :raises IntegrityError: when the *candidate* cannot be read.
    """
    new_spec = ModelSpec.from_dict(candidate.spec)
    if champion is None:
        return Comparison("first_model", "there is no champion yet")
    about = Comparison("compared", champion_model_id=champion.id, champion_version=champion_version)
    try:
        old_spec = ModelSpec.from_dict(champion.spec)
        files.load(champion.file.name, champion.file.sha256)
    except IntegrityError as error:
        return replace(about, status="champion_unreadable", reason=f"{champion.id}: {error}")
    if (new_spec.target, new_spec.label_horizon) != (old_spec.target, old_spec.label_horizon):
        return replace(about, status="not_possible", reason=_other_question(new_spec, old_spec))

    start_ms, end_ms = common_start_ms(new_spec, old_spec), new_spec.data_end_ms
    history = 2 * max(new_spec.history_bars, old_spec.history_bars)  # twice: gaps cost candles
    candles = candle_store.load(
        candidate.symbol, candidate.timeframe, start_ms - history * timeframe_ms(candidate.timeframe), end_ms
    )
    bars = max(0, len(candles.between(start_ms, end_ms)) - new_spec.label_horizon)
    about = replace(about, bars=bars, start_ms=start_ms, end_ms=end_ms)
    if bars < min_bars:
        return replace(about, status="not_possible", reason=_too_few(bars, min_bars, new_spec, old_spec))
    new = score_model(load_model(candidate, files), candles, start_ms, end_ms)
    try:
        old = score_model(load_model(champion, files), candles, start_ms, end_ms)
    except IntegrityError as error:
        return replace(about, status="champion_unreadable", reason=str(error))
    if new.bars != old.bars or new.bars < min_bars:
        reason = f"{new.bars} bars have enough history for the candidate, {old.bars} for the champion"
        return replace(about, status="not_possible", reason=f"{reason}, {min_bars} are needed", bars=old.bars)
    return replace(about, bars=new.bars, candidate=new.to_dict(), champion=old.to_dict())


def _other_question(candidate: ModelSpec, champion: ModelSpec) -> str:
    return (
        f"the champion predicts the {champion.target} over {champion.label_horizon} bars, the candidate the "
        f"{candidate.target} over {candidate.label_horizon} bars: promote by hand to change the question"
    )


def _too_few(bars: int, needed: int, candidate: ModelSpec, champion: ModelSpec) -> str:
    return (
        f"{bars} bars that neither has seen, {needed} are needed: the champion's training saw candles up to "
        f"{_utc(champion.training_end_ms)}, the candidate's hold-out is {_utc(candidate.split_ms)} to "
        f"{_utc(candidate.data_end_ms)}"
    )


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")
