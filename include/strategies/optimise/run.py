"""A whole optimisation: cut, search, walk forward, doubt, draw."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from threadpoolctl import threadpool_limits

from include.errors import BadInputError
from include.market.binance_wire import iso
from include.market.candles import Candles, check_candles
from include.market.timeframes import DAY_MS
from include.strategies.optimise.document import Parts, document
from include.strategies.optimise.evaluator import Evaluator, Terms
from include.strategies.optimise.heatmap_page import heatmap_page
from include.strategies.optimise.memory import VariationMemory
from include.strategies.optimise.out_of_sample_page import out_of_sample_page
from include.strategies.optimise.progress import OnProgress, Progress
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.robustness import doubt
from include.strategies.optimise.searching import Searcher, SearchOrder
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment
from include.strategies.optimise.walk_forward import Stitched, walk
from include.strategies.optimise.windows import Plan, plan
from include.strategies.optimise.workers import Workers
from include.strategies.positions import require_bars
from include.strategies.provenance import provenance
from include.strategies.registry import get_strategy
from include.strategies.request import RUN_IN

FEWEST_CANDLES = 0.5
"""Share of a part's candles below which nothing can be said about it."""
DOUBTING, DRAWING = 0.02, 0.02
"""Shares of the work that follow the searches, for the progress."""


@dataclass(frozen=True, eq=False)
class OptimisationOutcome:
    """The stored result and its interactive pages.

    :param pages: HTML that needs no network, by name: `heatmap` (the objective over the parameters) and
        `out_of_sample` (equity of the walk-forward).
    """

    parts: Parts
    pages: dict[str, str] = field(repr=False)

    def document(self) -> dict[str, Any]:
        """Return everything but the pages as a JSON-able mapping."""
        return document(self.parts)


def candles_before(request: OptimisationRequest) -> int:
    """Return how many candles before the period an optimisation should be given, so that its first bars count."""
    return RUN_IN * SearchSpace.of(get_strategy(request.strategy)).longest_lookback


def run_optimisation(
    request: OptimisationRequest,
    candles: Candles,
    memory: VariationMemory,
    on_progress: OnProgress,
    processes: int | None = None,
) -> OptimisationOutcome:
    """Optimise a strategy.

    :param candles: of the period and from before it (:func:`candles_before`); later ones are not looked at.
    :param memory: of this optimisation: variations that it knows are not computed again.
    :param on_progress: percent (at least every 10) and details: the stage, the variations tried in it, and the best
        of the final train part so far.
    :param processes: that evaluate; None for as many as there are cores.
    :raises BadInputError: for corrupt or too few candles, a period that is too short for the windows, or an empty
        search space; before any work.
    """
    space = SearchSpace.of(get_strategy(request.strategy))
    known = candles.between(None, request.end_ms).between(request.start_ms - _before_ms(candles, request, space))
    cut = plan(
        request.start_ms, request.end_ms, windows=request.windows, anchored=request.anchored,
        train_share=request.train_share, embargo_days=request.embargo_days,
        lookback_ms=space.longest_lookback * candles.bar_ms,
    )  # fmt: skip
    check_candles(known)
    _require_candles(known, request, cut, space)

    terms = Terms(request.strategy, request.costs, request.cash_usdt, request.direction)
    budget = min(request.variations, len(space.points))
    work = budget * (cut.final.train.days + sum(window.train.days for window in cut.walk))
    tests = cut.final.test.days + sum(window.test.days for window in cut.walk)
    progress = Progress((work + tests) * (1 + DOUBTING + DRAWING), on_progress)
    order = SearchOrder(request.method, budget, request.objective, request.seed)
    fingerprint = hashlib.sha256(f"{known.sha256()} {terms}".encode()).hexdigest()[:16]
    with Workers(Evaluator(terms, known), processes) as workers:
        searcher = Searcher(space, order, workers, memory, fingerprint, progress)
        progress.note(stage="searching")
        found = searcher.search(cut.final.train, shows_best=True)
        tested = searcher.run(cut.final.test, found.best) if found.best else None
        walked = walk(cut.walk, searcher, lambda number: progress.note(stage=f"window {number} of {len(cut.walk)}"))
    progress.note(stage="doubting")
    stitched = Stitched.of(walked)
    with threadpool_limits(limits=1, user_api="blas"):  # many small matrices, which threads would only slow down
        robustness = doubt(found, tested, stitched)
    progress.note(stage="drawing")
    progress.add(work * DOUBTING)
    data = provenance(known, request.start_ms, request.end_ms)
    parts = Parts(request, space, cut, found, tested, walked, stitched, robustness, data)
    pages = {"heatmap": heatmap_page(parts), "out_of_sample": out_of_sample_page(parts, known)}
    progress.note(stage="finished", verdict=robustness.verdict.word)
    progress.finish()
    return OptimisationOutcome(parts, pages)


def _before_ms(candles: Candles, request: OptimisationRequest, space: SearchSpace) -> int:
    """Return the length of what is used of the candles before the period: as many as the slowest variation needs."""
    before = candles.between(None, request.start_ms).tail(RUN_IN * space.longest_lookback)
    return request.start_ms - int(before.open_time[0]) if len(before) else 0


def _require_candles(known: Candles, request: OptimisationRequest, cut: Plan, space: SearchSpace) -> None:
    period = known.between(request.start_ms)
    slowest = max(space.points, key=lambda point: space.definition.lookback(space.params(point)))
    require_bars(space.definition, space.params(slowest), len(period))
    for window in (cut.final, *cut.walk):
        for segment in (window.train, window.test):
            _require_share(known, segment)


def _require_share(known: Candles, segment: Segment) -> None:
    expected, found = segment.days * DAY_MS // known.bar_ms, len(known.between(segment.start_ms, segment.end_ms))
    if found < FEWEST_CANDLES * expected:
        raise BadInputError(
            f"Insufficient data: {known.symbol} {known.timeframe} has {found} of {expected} candles from "
            f"{iso(segment.start_ms)[:10]} to {iso(segment.end_ms)[:10]} ({segment.name}), at least half of them are "
            "needed; choose a period in which the symbol was traded"
        )
