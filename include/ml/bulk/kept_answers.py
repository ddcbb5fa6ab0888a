"""Answers that were given a few minutes ago, by symbol, timeframe and the models that would answer now.

A key names the deployed models themselves: after a new deployment, or a rollback, no old answer fits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.ml.model_record import champion_id
from include.store.result_cache import ResultCache

FORMAT = "bulk-1"
"""Part of every key; to be changed when answers change their shape or the way they are computed."""
ANALYSED_AT = "analysed_at_ms"


class KeptAnswers:
    """The cache of one run.

    :param terms: all else that an answer depends on: networks asked for, limits of the settings.
    :param ttl_s: seconds on the exchange's clock for which an answer is given again; 0 keeps none.
    """

    def __init__(
        self, cache: ResultCache, timeframe: str, model_types: tuple[str, ...], terms: str, ttl_s: int, now_ms: int
    ) -> None:
        self._cache, self._timeframe, self._model_types, self._terms = cache, timeframe, model_types, terms
        self._ttl_s, self._now_ms = ttl_s, now_ms

    def key(self, symbol: str, models: Mapping[str, str]) -> str:
        """Return the key of a symbol's answer; `models` are the deployed models by place."""
        asked = (champion_id(model_type, symbol, self._timeframe) for model_type in self._model_types)
        names = ",".join(f"{place}={models.get(place, '')}" for place in asked)
        return f"{FORMAT}:{self._terms}:{names}"

    def find(self, keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return the answers still good, by symbol, marked as cached and with their age.

        :param keys: by symbol.
        """
        if self._ttl_s <= 0:
            return {}
        found = self._cache.get_many(list(keys.values()))
        answers = {}
        for symbol, key in keys.items():
            kept = found.get(key)
            at_ms = kept.get(ANALYSED_AT) if kept else None
            # The exchange's clock may have moved on otherwise than the cache's (a sandbox that was advanced).
            if kept and isinstance(at_ms, int) and 0 <= self._now_ms - at_ms < self._ttl_s * 1000:
                age_s = round((self._now_ms - at_ms) / 1000, 1)
                answers[symbol] = {**_without_time(kept), "cached": True, "age_s": age_s}
        return answers

    def keep(self, answers: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> None:
        """Keep answers by symbol under their keys."""
        self._cache.put_many(
            {keys[symbol]: {**answer, ANALYSED_AT: self._now_ms} for symbol, answer in answers.items()}, self._ttl_s
        )


def _without_time(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name != ANALYSED_AT}
