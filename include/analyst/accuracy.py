"""How well the champions did on bars they had not seen: history, and what is wrong with it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from include.errors import BadInputError
from include.trading.performance_model import Record

ModelType = Literal["lstm", "gru", "transformer"]
MODEL_TYPES: tuple[ModelType, ...] = ("lstm", "gru", "transformer")

DROP_POINTS = 5.0
MIN_ACCURACY = 0.65
DROP_DAYS = 7
MIN_BARS = 150
"""A score on fewer bars is shown but is no finding, as few bars as no comparison of models would trust."""


class AccuracyPoint(Record):
    """One day's score of a champion on the bars since its training end; shares 0-1, `bars` a count."""

    date: dt.date
    accuracy: float
    baseline: float | None
    skill: float | None
    bars: int | None
    model_id: str | None = None


class AccuracyHistory(Record):
    """The scores of one champion slot, oldest first."""

    model_type: ModelType
    symbol: str
    timeframe: str
    points: tuple[AccuracyPoint, ...]


class AccuracyFinding(Record):
    """One thing that is wrong: `drop` (more than 5 points in 7 days) or `below_minimum` (under 0.65)."""

    kind: Literal["drop", "below_minimum"]
    model_type: ModelType
    symbol: str
    timeframe: str
    before: float | None
    now: float
    drop_points: float | None

    @property
    def text(self) -> str:
        """Say it in words, for prompts and reports."""
        name = f"{self.model_type.upper()} on {self.symbol} {self.timeframe}"
        if self.kind == "drop":
            return f"{name} accuracy dropped {self.drop_points:.1f} points in {DROP_DAYS} days, to {self.now:.1%}"
        return f"{name} accuracy {self.now:.1%} is below {MIN_ACCURACY:.0%}"


def accuracy_histories(rows: Iterable[Mapping[str, Any]]) -> tuple[AccuracyHistory, ...]:
    """Build the histories from documents of `model_scores`, in any order.

    A row has `model_type`, `symbol`, `timeframe`, `date` (text, date or datetime) and `accuracy`, and
    may have `timestamp`, `baseline` or `baseline_accuracy`, `skill`, `bars`, `model_id`. Only rows of the model
    that was scored last count, even if that score has no accuracy yet: a champion deployed today has no
    history, and its predecessor's would ask for its retraining. Of two rows of one day that with the later
    `timestamp` counts.

    :raises BadInputError: for an accuracy outside 0-1 or an unknown model type, naming the row.
    """
    slots: dict[tuple[ModelType, str, str], dict[dt.date, AccuracyPoint]] = {}
    models: dict[tuple[ModelType, str, str], object] = {}
    for row in sorted(rows, key=lambda row: (str(row.get("date", ""))[:10], str(row.get("timestamp", "")))):
        model_type = row.get("model_type")
        if model_type not in MODEL_TYPES:
            raise BadInputError(
                f"a row of model_scores names the model type {model_type!r}; known: {', '.join(MODEL_TYPES)}"
            )
        if not row.get("symbol") or not row.get("timeframe"):
            raise BadInputError(f"a row of model_scores of {model_type} lacks symbol or timeframe: {row!r:.200}")
        key = (model_type, str(row["symbol"]), str(row["timeframe"]))
        days = slots.setdefault(key, {})
        if models.setdefault(key, row.get("model_id")) != row.get("model_id"):
            models[key] = row.get("model_id")
            days.clear()
        if row.get("accuracy") is not None:
            point = _point(row, key)
            days[point.date] = point
    order = sorted(slots, key=lambda slot: (slot[1], MODEL_TYPES.index(slot[0]), slot[2]))
    return tuple(
        AccuracyHistory(
            model_type=slot[0],
            symbol=slot[1],
            timeframe=slot[2],
            points=tuple(slots[slot][day] for day in sorted(slots[slot])),
        )
        for slot in order
    )


def recent_points(history: AccuracyHistory, today: dt.date) -> tuple[AccuracyPoint, ...]:
    """Return the scores of the last 7 days on enough bars, oldest first."""
    since = today - dt.timedelta(days=DROP_DAYS)
    believable = [point for point in history.points if point.bars is None or point.bars >= MIN_BARS]
    return tuple(point for point in believable if since <= point.date <= today)


def accuracy_findings(histories: Iterable[AccuracyHistory], today: dt.date) -> tuple[AccuracyFinding, ...]:
    """Return what is wrong: the first against the last score of the last 7 days, and the last against 0.65."""
    findings = []
    for history in histories:
        points = recent_points(history, today)
        if not points:
            continue
        first, last = points[0], points[-1]
        drop = round((first.accuracy - last.accuracy) * 100, 6)
        found: list[tuple[Literal["drop", "below_minimum"], float | None, float | None]] = []
        if drop > DROP_POINTS:
            found.append(("drop", first.accuracy, drop))
        if last.accuracy < MIN_ACCURACY:
            found.append(("below_minimum", None, None))
        findings += [
            AccuracyFinding(
                kind=kind,
                model_type=history.model_type,
                symbol=history.symbol,
                timeframe=history.timeframe,
                before=before,
                now=last.accuracy,
                drop_points=points_lost,
            )
            for kind, before, points_lost in found
        ]
    return tuple(findings)


def _point(row: Mapping[str, Any], key: tuple[str, str, str]) -> AccuracyPoint:
    name = f"the score of {':'.join(key)} on {row.get('date')!s:.40}"
    accuracy = row["accuracy"]
    if isinstance(accuracy, bool) or not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        raise BadInputError(f"{name} has accuracy {accuracy!r:.40}, which is not a share from 0 to 1; delete the row")
    baseline = row.get("baseline", row.get("baseline_accuracy"))
    return AccuracyPoint(
        date=_date(row.get("date"), name),
        accuracy=float(accuracy),
        baseline=_finite(baseline),
        skill=_finite(row.get("skill")),
        bars=None if row.get("bars") is None else int(row["bars"]),
        model_id=None if row.get("model_id") is None else str(row["model_id"]),
    )


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _date(value: object, name: str) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        raise BadInputError(f"{name} has no readable date; delete the row") from None
