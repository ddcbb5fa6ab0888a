"""The tasks that do the laboratory's work; operators of their own, since their pages are linked from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from dags.wiring.params import run_params
from dags.wiring.report_links import PageLink
from include.settings import get_settings
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams
from include.tasks_api.params.optimize_strategy import OptimizeStrategyParams


class StrategyOperator(BaseOperator):
    """Compute, keep the result, return the part of it that travels."""

    pages_made: Mapping[str, Any] = {}
    """The pages that the task has stored; the links look here."""
    remedy: ClassVar[str]
    """What to do about a time-out."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Run; a time-out is final."""
        try:
            answer = self.compute(context)
        except AirflowTaskTimeout as error:
            raise AirflowFailException(
                f"{self.task_id} exceeded its limit of {self.execution_timeout} and was ended; {self.remedy}"
            ) from error
        self.pages_made = answer["reports"]
        return answer

    def compute(self, context: Context) -> dict[str, Any]:
        """Do the work."""
        raise NotImplementedError


class BacktestOperator(StrategyOperator):
    """Test the run's strategy on its candles."""

    operator_extra_links = (PageLink("Report", "report"), PageLink("Trades (CSV)", "trades.csv"))
    remedy = "choose a shorter period or a longer timeframe"

    def compute(self, context: Context) -> dict[str, Any]:
        """Play the strategy, measure, check, draw; a retry begins anew and overwrites."""
        from dags.wiring.strategy_lab import keep_result, progress, stored_candles
        from include.store.collections import BACKTEST_RESULTS
        from include.strategies.backtest import run_backtest
        from include.strategies.kept_result import table
        from include.tasks_api.strategy_request import backtest_demand, backtest_request

        params = run_params(BacktestStrategyParams, context)
        request = backtest_request(params)
        outcome = run_backtest(request, stored_candles(backtest_demand(params)), progress(context))
        document = {"strategy": request.strategy, "symbol": request.symbol, **outcome.document()}
        pages = {"report": outcome.report_html, "trades.csv": table(document["trades"])}
        return keep_result(context, BACKTEST_RESULTS, document, pages, drop=("equity_curve", "trades"))


class OptimisationOperator(StrategyOperator):
    """Search the strategy's parameters on the run's candles, and doubt what is found."""

    operator_extra_links = (
        PageLink("Heatmap", "heatmap"),
        PageLink("Out-of-sample equity", "out_of_sample"),
        PageLink("Variations (CSV)", "variations.csv"),
    )
    remedy = (
        "what it has finished is kept for some days: clear this task to go on there, or start it with fewer variations"
    )

    def compute(self, context: Context) -> dict[str, Any]:
        """Search, walk forward, judge, draw; what an earlier try of the run has finished is not computed again."""
        from dags.wiring.runtime import database
        from dags.wiring.strategy_lab import forget, keep_result, progress, stored_candles
        from include.store.collections import OPTIMIZATION_RESULTS
        from include.strategies.kept_result import table
        from include.strategies.optimise.memory_store import MongoMemory
        from include.strategies.optimise.run import run_optimisation
        from include.tasks_api.strategy_request import optimisation_demand, optimisation_request

        params = run_params(OptimizeStrategyParams, context)
        memory = MongoMemory(database(), context["ti"].run_id)
        outcome = run_optimisation(
            optimisation_request(params),
            stored_candles(optimisation_demand(params)),
            memory,
            progress(context),
            get_settings().optimization_processes or None,
        )
        document = outcome.document()
        rows = [{**row["parameters"], **row} for row in document["all_results"]]
        columns = [name for name in (rows[0] if rows else {}) if name not in ("parameters", "undefined")]
        pages = {**outcome.pages, "variations.csv": table(rows, columns)}
        answer = keep_result(
            context, OPTIMIZATION_RESULTS, document, pages, drop=("all_results", "walk_forward.equity_curve")
        )
        forget(memory)
        return answer
