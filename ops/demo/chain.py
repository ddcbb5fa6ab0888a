"""The runs of the self-improvement chain that one trigger starts, as they come into being."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.tasks_api.run_ids import child_run_id


@dataclass(frozen=True)
class ChainRun:
    """One DAG run of the chain. `expected` runs have to come; the others only if the run before decides so."""

    dag_id: str
    run_id: str
    title: str


@dataclass(frozen=True)
class Chain:
    """The run that is triggered, and the ids that its children will have."""

    run_id: str
    symbols: Sequence[str]

    @property
    def performance(self) -> ChainRun:
        """The analysis of the trades, which is triggered."""
        return ChainRun("daily_performance_analysis", self.run_id, "performance")

    @property
    def analysis(self) -> ChainRun:
        """The question to GPT-4, started by a critical figure."""
        return ChainRun("gpt4_self_analysis", child_run_id("gpt4", self.run_id), "GPT-4 analysis")

    @property
    def retrainings(self) -> list[ChainRun]:
        """The retrainings, one per symbol, started by the decision."""
        return [
            ChainRun("adaptive_retrain", child_run_id(f"retrain_{symbol}", self.analysis.run_id), f"retrain {symbol}")
            for symbol in self.symbols
        ]
