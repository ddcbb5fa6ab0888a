"""The tasks that do the laboratory's work; operators of their own, since their pages are linked from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from dags.wiring.params import run_params
from dags.wiring.report_links import PageLink
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams


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
