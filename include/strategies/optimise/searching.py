"""One search on one segment: the method asks, the workers answer, what was done before is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.strategies.optimise.memory import VariationMemory
from include.strategies.optimise.methods import Method, search
from include.strategies.optimise.objective import Objective, choose, score
from include.strategies.optimise.progress import Progress
from include.strategies.optimise.space import Point, SearchSpace
from include.strategies.optimise.trials import Score, Trials
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.optimise.workers import Workers


@dataclass(frozen=True)
class SearchOrder:
    """How every segment is searched."""

    method: Method
    budget: int
    objective: Objective
    seed: int


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has tried, in the order of trying, and its choice.

    :param best: None where no variation has the objective: none traded.
    :param remembered: how many were known from an earlier, killed run.
    """

    variations: tuple[Variation, ...]
    best: Variation | None
    remembered: int


class Searcher:
    """Searches segments.

    :param fingerprint: of the data and terms: what another data set or other costs gave is not remembered.
    """

    def __init__(
        self, space: SearchSpace, order: SearchOrder, workers: Workers, memory: VariationMemory, fingerprint: str,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._space, self._order, self._workers = space, order, workers
        self._memory, self._fingerprint, self._progress = memory, fingerprint, progress

    def search(self, segment: Segment, *, shows_best: bool = False) -> Found:
        """Search a segment.

        :param shows_best: the progress reports carry the best variation so far.
        """
        stored = self._memory.known(self._name(segment))
        known = {key: Variation.from_stored(variation) for key, variation in stored.items()}
        done: dict[str, Variation] = {}
        best: Variation | None = None

        def take(finished: Sequence[Variation]) -> None:
            nonlocal best
            done.update((variation.key, variation) for variation in finished)
            if shows_best:
                best = choose([*([best] if best else []), *finished], self._order.objective)
                self._progress.note(variations=len(done), best_so_far=self._shown(best))
            self._progress.add(len(finished) * segment.days)

        def evaluate(points: Sequence[Point]) -> list[Score]:
            keys = {self._space.key(point): point for point in points}
            take([known[key] for key in keys if key in known])
            jobs = [(key, self._space.params(point)) for key, point in keys.items() if key not in known]
            for finished in self._workers.evaluate(segment, jobs):
                self._memory.keep(self._name(segment), [variation.to_stored() for variation in finished])
                take(finished)
            return [score(done[key], self._order.objective) for key in keys]

        trials = Trials(self._space, self._order.budget, evaluate)
        search(self._order.method, trials, self._order.seed)
        variations = tuple(done[self._space.key(point)] for point in trials.scores)
        remembered = sum(variation.key in known for variation in variations)
        return Found(variations, choose(variations, self._order.objective), remembered)

    def run(self, segment: Segment, chosen: Variation) -> Variation:
        """Run the chosen parameters on another segment."""
        params = self._space.definition.params_model.model_validate(chosen.parameters)
        ((again,),) = self._workers.evaluate(segment, [(chosen.key, params)])
        self._progress.add(segment.days)
        return again

    def _name(self, segment: Segment) -> str:
        return f"{segment.name} {self._fingerprint}"

    def _shown(self, best: Variation | None) -> dict[str, object] | None:
        if best is None:
            return None
        return {"parameters": best.parameters, self._order.objective: score(best, self._order.objective)}
