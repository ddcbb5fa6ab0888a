"""Asks the champions for a price path: cached, else computed from the newest candles, without TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import BadInputError, IntegrityError
from include.ml.drift import drift_report
from include.ml.light.champions import LightChampion, UnreadableChampion, load_champions
from include.ml.light.forecast import FailedForecast, forecast_newest
from include.ml.prediction.answer import complete, describe, model_age_days
from include.ml.prediction.question import Question, Seen, by_skill, training_advice

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore
    from include.ml.prediction.market import Market
    from include.settings import Settings
    from include.store.result_cache import ResultCache

__all__ = ["Predictor"]

_FORMAT = 1
"""Raised when the cached form changes."""


@dataclass(frozen=True)
class Predictor:
    """What a prediction works with. `market` is asked only when no cached answer fits."""

    db: Database[dict[str, Any]]
    weights: WeightStore
    files: ModelFileStore
    cache: ResultCache
    market: Callable[[str], Market]
    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def predict(self, question: Question, task_id: str, seen: Seen) -> dict[str, Any]:
        """Return the answer (JSON-able), from the first champion in the order of skill that can give one.

        A champion that is broken, too old or cannot answer is passed over, and named in `not_used`.

        :param seen: is told how each champion did, also when this raises.
        :raises BadInputError: no champion, all too old, or too few candles; with the advice to train.
        :raises IntegrityError: when the champions cannot be loaded, or forecast what is no price.
        :raises TransientError: while the exchange or MongoDB is away.
        """
        champions = self._champions(question, seen)
        refused = {refusal.model_id: refusal for refusal in champions if isinstance(refusal, _Refusal)}
        readable = by_skill(champion for champion in champions if isinstance(champion, LightChampion))
        keys = {champion.record.id: _key(champion) for champion in readable}
        cached = self.cache.get_many(list(keys.values())) if self.settings.prediction_cache_ttl_s else {}
        market = functools.cache(self.market)  # asked at most once, and not for what is cached
        for champion in readable:
            key = keys[champion.record.id]
            found = cached[key] if key in cached else self._compute(champion, market, seen)
            if isinstance(found, _Refusal):
                refused[champion.record.id] = found
                continue
            if key not in cached:
                self.cache.put_many({key: found}, self.settings.prediction_cache_ttl_s)
            return complete(
                found,
                question,
                task_id=task_id,
                cached=key in cached,
                now=self.now(),
                not_used={model_id: refusal.reason for model_id, refusal in refused.items()},
            )
        raise _error(list(refused.values()))

    def _champions(self, question: Question, seen: Seen) -> list[LightChampion | _Refusal]:
        found = load_champions(self.db, self.weights, self.files, question.places)
        if not found:
            asked = " or ".join(model_type for model_type, _, _ in question.places)
            raise BadInputError(f"There is no deployed {asked} model of {question.symbol} 1h: {question.advice}")
        champions: list[LightChampion | _Refusal] = []
        for place, champion in found.items():
            if isinstance(champion, UnreadableChampion):
                if champion.champion_at_fault:
                    seen.failed(champion.model_id, place, champion.reason)
                champions.append(_Refusal(champion.model_id, champion.reason, broken=True))
            else:
                champions.append(champion)
        return champions

    def _compute(
        self, champion: LightChampion, ask_market: Callable[[str], Market], seen: Seen
    ) -> dict[str, Any] | _Refusal:
        record, spec = champion.record, champion.spec
        market = ask_market(spec.symbol)
        place = (record.model_type, record.symbol, record.timeframe)
        age_days, limit_days = model_age_days(champion, market.now_ms), self.settings.max_model_age_days
        if age_days > limit_days:
            reason = (
                f"Model {record.id} is {age_days:.1f} days old, forecasts are refused beyond {limit_days:g}: "
                f"{training_advice(spec.model_type, spec.symbol)}"
            )
            return _Refusal(record.id, reason, broken=False)
        forecast = forecast_newest([champion], {spec.symbol: market.features})[record.id]
        if isinstance(forecast, FailedForecast):
            if forecast.champion_at_fault:
                seen.failed(record.id, place, forecast.reason)
            return _Refusal(record.id, forecast.reason, broken=forecast.champion_at_fault)
        drift = drift_report(
            record.feature_distribution,
            market.features.names,
            market.features.features,
            self.settings.drift_psi_warning,
        )
        try:
            described = describe(champion, forecast, drift, market.now_ms)
        except IntegrityError as error:
            reason = f"Model {record.id}: {error}"
            seen.failed(record.id, place, reason)
            return _Refusal(record.id, reason, broken=True)
        seen.well.append(record.id)
        return described


@dataclass(frozen=True)
class _Refusal:
    """Why a champion gave no answer; `broken`: it cannot be loaded, or forecasts no price."""

    model_id: str
    reason: str
    broken: bool


def _error(refusals: list[_Refusal]) -> Exception:
    kind = IntegrityError if any(refusal.broken for refusal in refusals) else BadInputError
    return kind("; ".join(refusal.reason for refusal in refusals))


def _key(champion: LightChampion) -> str:
    return f"predict_price:{_FORMAT}:{champion.record.id}:v{champion.version}"
