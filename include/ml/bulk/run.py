"""Analysing up to thousands of symbols, chunk by chunk.

Of each chunk: answers of the last minutes from the cache; for the others the champions, their candles (completed
from the exchange), forecasts, answers; and the cache again. A task that is killed finds its finished chunks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.market.candle_store import CandleStore
from include.market.timeframes import timeframe_ms
from include.ml.bulk.analysis import Analysed, Terms, analyse
from include.ml.bulk.choice import choose
from include.ml.bulk.exchange import Exchange
from include.ml.bulk.kept_answers import KeptAnswers
from include.ml.champions import ChampionPointers
from include.ml.light.champions import LightChampion, load_champions
from include.ml.light.forecast import bars_needed
from include.ml.model_record import champion_id

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore
    from include.store.result_cache import ResultCache

CHUNK = 100
PROGRESS_STEPS = 10
"""Progress is told at least every 10 %."""
SPARE_BARS = 24
"""Candles loaded beyond what a forecast needs: so many may be missing on the exchange itself."""

OnProgress = Callable[[int, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Bench:
    """What a run works with."""

    db: Database[dict[str, Any]]
    weights: WeightStore
    files: ModelFileStore
    candle_store: CandleStore
    exchange: Exchange
    cache: ResultCache
    cache_ttl_s: int


def chunks(symbols: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the symbols in parts of 100 at most, and of a tenth of all at most: each finished one is told."""
    size = max(1, min(CHUNK, len(symbols) // PROGRESS_STEPS))
    for start in range(0, len(symbols), size):
        yield symbols[start : start + size]


def run_analysis(symbols: Sequence[str], terms: Terms, bench: Bench, on_progress: OnProgress) -> Analysed:
    """Analyse every symbol; a symbol's failure is its own.

    :param symbols: each once, well-formed.
    :param on_progress: called with percent and counts at the start and after every part.
    :raises ServiceUnavailableError: while MongoDB is away.
    :raises ConfigurationError: for a wrong key, or an address that is not Binance's.
    """
    limits = f"{terms.max_model_age_days:g}/{terms.psi_threshold:g}/{terms.max_candle_age_bars}"
    kept = KeptAnswers(bench.cache, terms.timeframe, terms.model_types, limits, bench.cache_ttl_s, terms.now_ms)
    result, done = Analysed(), 0
    for part in ((), *chunks(symbols)):
        if part:
            result.add(_analyse_part(part, terms, bench, kept))
        done += len(part)
        counts = {"analyzed": len(result.answers), "failed": len(result.failures)}
        on_progress(100 * done // max(1, len(symbols)), {"current": done, "total": len(symbols), **counts})
    return result


def _analyse_part(symbols: Sequence[str], terms: Terms, bench: Bench, kept: KeptAnswers) -> Analysed:
    pointers = ChampionPointers(bench.db)
    wanted = {symbol: [(kind, symbol, terms.timeframe) for kind in terms.model_types] for symbol in symbols}
    models = pointers.model_ids([champion_id(*place) for places in wanted.values() for place in places])
    answers = kept.find({symbol: kept.key(symbol, models) for symbol in symbols})
    result = Analysed(answers=answers)
    missed = [symbol for symbol in symbols if symbol not in answers]
    if not missed:
        return result
    result.failures |= bench.exchange.unknown(missed)
    missed = [symbol for symbol in missed if symbol not in result.failures]
    places = [place for symbol in missed for place in wanted[symbol]]
    loaded = load_champions(bench.db, bench.weights, bench.files, places)
    choices, failures = choose(
        missed, terms.timeframe, terms.model_types, loaded, terms.now_ms, terms.max_model_age_days
    )
    result.failures |= failures
    result.faults |= {symbol: list(choices[symbol].faults) for symbol in failures if choices[symbol].faults}
    asked = {symbol: choice for symbol, choice in choices.items() if symbol not in failures}
    if not asked:
        return result
    windows = [champion.spec.window for choice in asked.values() for champion in choice.champions]
    bars = bars_needed(max(windows)) + SPARE_BARS
    bar_ms = timeframe_ms(terms.timeframe)
    end_ms = terms.now_ms // bar_ms * bar_ms
    troubles = bench.exchange.complete(list(asked), terms.timeframe, bars)
    candles = bench.candle_store.load_many(list(asked), terms.timeframe, end_ms - bars * bar_ms, end_ms)
    found = analyse(asked, candles, bench.exchange.prices(), troubles, terms)
    # The key names the models that answered: they may be newer than those that were looked up before.
    answered_by = {
        champion_id(*place): champion.record.id if isinstance(champion, LightChampion) else champion.model_id
        for place, champion in loaded.items()
    }
    # An answer that a broken champion has no part in is not kept: the next run shall notice that, too.
    whole = {symbol: answer for symbol, answer in found.answers.items() if symbol not in found.faults}
    kept.keep(whole, {symbol: kept.key(symbol, answered_by) for symbol in whole})
    for answer in found.answers.values():
        answer |= {"cached": False, "age_s": 0.0}
    result.add(found)
    return result
