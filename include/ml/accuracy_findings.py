"""What in the accuracy history is a reason to act: a champion that fell, or that is low."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from include.ml.model_record import champion_id
from include.ml.registry import ModelRegistry
from include.ml.scores import accuracy_history

if TYPE_CHECKING:
    from pymongo.database import Database

MAX_DROP = 0.05
MIN_ACCURACY = 0.65
DROP_DAYS = 7
_ROUNDING = 1e-9  # 0.70 - 0.65 is 0.0499... in binary, and 0.68 - 0.63 is 0.0500...4


@dataclass(frozen=True)
class AccuracyFinding:
    """A champion that got worse (`drop`) or is bad (`low`); accuracies are shares."""

    kind: Literal["drop", "low"]
    model_type: str
    model_id: str
    accuracy: float
    bars: int
    date: str
    message: str
    earlier_accuracy: float | None = None
    earlier_date: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return asdict(self)


def accuracy_findings(
    db: Database[dict[str, Any]], symbol: str, timeframe: str, *, min_bars: int, now: datetime | None = None
) -> list[AccuracyFinding]:
    """Return the findings on the present champions of a symbol and timeframe (see :func:`find_declines`)."""
    pointers = ModelRegistry(db).pointers
    history = accuracy_history(db, symbol, timeframe, DROP_DAYS, now)
    champions = {}
    for model_type in history:
        pointer = pointers.get(champion_id(model_type, symbol, timeframe))
        if pointer:
            champions[model_type] = pointer.model_id
    return find_declines(history, champions, min_bars=min_bars)


def find_declines(
    history: Mapping[str, Sequence[Mapping[str, Any]]], champions: Mapping[str, str], *, min_bars: int
) -> list[AccuracyFinding]:
    """Return what is wrong with the champions' newest points.

    Only points of the present champion on at least `min_bars` bars count: fewer are noise, and another model's
    accuracy was measured on other bars. `drop`: the newest is more than 5 points below the best one of the 7
    days before it. `low`: the newest is under 0.65.
    """
    findings: list[AccuracyFinding] = []
    for model_type, champion in champions.items():
        points = [p for p in history.get(model_type, ()) if p["model_id"] == champion and p["bars"] >= min_bars]
        if not points:
            continue
        newest = points[-1]
        since = (date.fromisoformat(newest["date"]) - timedelta(days=DROP_DAYS)).isoformat()
        best = max((p for p in points if p["date"] >= since), key=lambda p: float(p["accuracy"]))
        now = f"{newest['accuracy']:.1%} on {newest['date']} ({newest['bars']} bars)"
        about = {
            "model_type": model_type,
            "model_id": champion,
            "accuracy": newest["accuracy"],
            "bars": newest["bars"],
            "date": newest["date"],
        }
        if best["accuracy"] - newest["accuracy"] > MAX_DROP + _ROUNDING:
            message = (
                f"{model_type} accuracy fell from {best['accuracy']:.1%} on {best['date']} ({best['bars']} bars) "
                f"to {now}: more than {MAX_DROP * 100:.0f} points within {DROP_DAYS} days"
            )
            before = {"earlier_accuracy": best["accuracy"], "earlier_date": best["date"]}
            findings.append(AccuracyFinding("drop", message=message, **about, **before))
        if newest["accuracy"] < MIN_ACCURACY:
            message = f"{model_type} accuracy {now} is below {MIN_ACCURACY:.0%}"
            findings.append(AccuracyFinding("low", message=message, **about))
    return findings
