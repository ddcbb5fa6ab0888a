"""The steps that `backtest_strategy` and `optimize_strategy` share: admit, load candles, keep what was found."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.market.candles import Candles
    from include.strategies.optimise.memory_store import MongoMemory
    from include.tasks_api.strategy_request import CandleDemand

Context = Mapping[str, Any]

PROGRESS_KEY = "progress"
"""Key in the task state store: percent and details; readable over REST while the task runs."""
MOST_GAPS = 50
"""Gaps that an XCom lists; the stored result has all of them."""


def admit(demand: CandleDemand) -> dict[str, Any]:
    """Refuse what cannot be computed, before anything is fetched; return what will be.

    :raises include.errors.BadInputError: for a symbol unknown to Binance, or a period that is not over.
    """
    from dags.wiring.runtime import binance
    from include.tasks_api.admission import require_symbol
    from include.tasks_api.strategy_request import require_over

    with binance() as client:
        require_symbol(client, demand.symbol)
        require_over(demand.end_ms, client.server_time_ms())
    return {"symbol": demand.symbol, "timeframe": demand.timeframe, "candles": demand.bars}


def load_candles(demand: CandleDemand) -> dict[str, Any]:
    """Fetch what the store lacks of the demanded candles; return what is there, and the period's gaps.

    :raises include.errors.BadInputError: when there are too few, or the stored ones stay corrupt.
    """
    from dags.wiring.runtime import binance, database
    from include.errors import BadInputError
    from include.market.candle_store import CandleStore
    from include.market.gaps import GapReport
    from include.market.ingest import ingest_range

    store = CandleStore(database())
    span = (demand.symbol, demand.timeframe, demand.first_ms, demand.end_ms)
    with binance() as client:
        fetched = ingest_range(client, store, *span)
    period = GapReport.of(store.load(*span), demand.start_ms, demand.end_ms)
    if period.present < demand.least:
        raise BadInputError(
            f"Insufficient data: expected at least {demand.least} candles, found {period.present} of {demand.symbol} "
            f"{demand.timeframe} in that period; choose one in which Binance has traded the symbol"
        )
    report = period.to_dict()
    return {
        **report,
        "gaps": report["gaps"][:MOST_GAPS],
        "gaps_count": len(report["gaps"]),
        "warm_up": fetched.present - period.present,
        "fetched": fetched.fetched,
        "corrected": fetched.corrected,
    }


def stored_candles(demand: CandleDemand) -> Candles:
    """Return the demanded candles from the store."""
    from dags.wiring.runtime import database
    from include.market.candle_store import CandleStore

    return CandleStore(database()).load(demand.symbol, demand.timeframe, demand.first_ms, demand.end_ms)


def progress(context: Context) -> Any:
    """Return what takes the percent and details of the running task and makes them readable."""
    store = context["task_state_store"]

    def on_progress(percent: int, details: Mapping[str, Any]) -> None:
        store.set(PROGRESS_KEY, {**details, "percent": percent})

    return on_progress


def keep_result(
    context: Context, collection: str, document: Mapping[str, Any], pages: Mapping[str, str], drop: Sequence[str]
) -> dict[str, Any]:
    """Keep a run's pages and its result; return the part of the result that travels.

    :param pages: text by name: HTML, or a table where the name ends in `.csv`.
    :param drop: names of parts that do not travel.
    :raises include.errors.FencedError: when a newer try of the run has kept its own.
    :raises include.errors.TransientError: while MongoDB is away and a later try may store the pages. The last try
        keeps the result without them.
    """
    from datetime import UTC, datetime

    from dags.wiring.runtime import triggering_user
    from dags.wiring.storage import keep
    from include.strategies.kept_result import handed_on, stored_result

    stored = stored_result(document, datetime.now(UTC), triggering_user(context))
    stored["reports"], stored["reports_missing"] = _keep_pages(context, pages)
    keep(context, collection, stored)
    return handed_on(stored, str(context["run_id"]), collection, drop)


def forget(memory: MongoMemory) -> None:
    """Remove the variations of a run whose result is kept; while MongoDB is away that is left to `retention`."""
    from include.errors import ServiceUnavailableError

    try:
        memory.forget()
    except ServiceUnavailableError as error:
        logging.getLogger(__name__).warning("the run's variations stay until retention removes them: %s", error)


def _keep_pages(context: Context, pages: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
    """Return addresses and sizes of the pages, or why there are none."""
    from dags.wiring.report_links import address
    from dags.wiring.retry import last_try
    from dags.wiring.runtime import database
    from include.errors import ServiceUnavailableError
    from include.strategies.reports import ReportStore

    ti = context["ti"]
    try:
        reports = ReportStore(database())
        return {
            name: {
                "url": address(ti.dag_id, ti.run_id, name),
                "bytes": reports.save(ti.dag_id, ti.run_id, name, text, ti.try_number),
            }
            for name, text in pages.items()
        }, None
    except ServiceUnavailableError as error:
        if not last_try(context):
            raise
        return {}, str(error)
