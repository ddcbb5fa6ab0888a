"""The steps of the GPT-4 self-analysis between Airflow and the analyst's room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.children import existing_child
from dags.wiring.params import run_params
from include.tasks_api.params.reports import SelfAnalysisParams
from include.tasks_api.run_ids import child_run_id

REASONS_KEY = "reasons"
WHY_KEY = "why"
FAILURE_KEY = "failure"
DECIDING_TASKS = ("decide_by_verdict", "decide_without_judge", "decide_after_failed_call")

Context = Mapping[str, Any]


def gather(context: Context) -> dict[str, Any]:
    """Return the evidence of this moment, JSON-able."""
    from datetime import UTC, datetime, timedelta

    from dags.wiring.drift import drifts_of
    from dags.wiring.runtime import database, engine
    from include.analyst.accuracy import accuracy_histories
    from include.analyst.evidence import build_evidence
    from include.settings import get_settings
    from include.store.collections import MODEL_SCORES
    from include.trading.performance import HISTORY, analyse

    run_params(SelfAnalysisParams, context)
    now = datetime.now(UTC)
    db = database()
    performance = analyse(engine().closed_trades(since=now - HISTORY), now)
    scores = db[MODEL_SCORES].find({"timestamp": {"$gte": now - timedelta(days=8)}})
    symbols = get_settings().symbols
    markets = [market_of(db, symbol) for symbol in symbols]
    drift = drifts_of(db, symbols)
    return build_evidence(performance, accuracy_histories(scores), markets, drift).model_dump(mode="json")


def market_of(db: Any, symbol: str) -> Any:
    """Return the market's conditions, from candles refreshed if the exchange can be reached.

    With the exchange away the stored candles are too old to say anything, which the conditions then say.
    """
    import logging
    import time

    from dags.wiring.runtime import binance
    from include.analyst.market_conditions import DAY_MS, DAYS_BEFORE, market_conditions
    from include.errors import TransientError
    from include.market.candle_store import CandleStore
    from include.market.ingest import ingest

    store = CandleStore(db)
    now_ms = int(time.time() * 1000)
    try:
        with binance() as client:
            now_ms = client.server_time_ms()
            ingest(client, store, symbol, "1h", DAYS_BEFORE + 2)
    except TransientError as error:
        logging.getLogger(__name__).warning("the market of %s is judged from stored candles: %s", symbol, error)
    return market_conditions(store.load(symbol, "1h", start_ms=now_ms - (DAYS_BEFORE + 2) * DAY_MS), now_ms)


def choose_way(raw_evidence: dict[str, Any], context: Context) -> str:
    """Return the task to go on with; leave the reasons, and why not, as XComs."""
    from dags.wiring.runtime import database
    from include.analyst.errors import CallRefusedError
    from include.analyst.evidence import Evidence, finding_key, reasons_to_analyse, why_skip
    from include.analyst.history import judged_analysis
    from include.analyst.judge import worst_case_usd
    from include.analyst.ledger import CostLedger
    from include.analyst.prompt import build_messages
    from include.errors import ConfigurationError
    from include.settings import get_settings

    ti, params, settings = context["ti"], run_params(SelfAnalysisParams, context), get_settings()
    evidence = Evidence.model_validate(raw_evidence)
    reasons = reasons_to_analyse(evidence, params.force_analysis)
    ti.xcom_push(REASONS_KEY, list(reasons))
    db = database()
    # A run that a new finding has started is no repetition of an older one.
    analysed = not params.triggered_by and judged_analysis(db, finding_key(evidence), but_not=context["run_id"])
    why = why_skip(evidence, reasons, bool(analysed), params.force_analysis)
    if why is not None:
        ti.xcom_push(WHY_KEY, why)
        return "skip_analysis"
    try:
        if settings.openai_api_key is None or not settings.openai_api_key.get_secret_value().strip():
            raise ConfigurationError("OPENAI_API_KEY is not configured; set it for the workers")
        CostLedger(db, settings).check(worst_case_usd(settings, build_messages(evidence)))
    except (CallRefusedError, ConfigurationError) as error:
        ti.xcom_push(WHY_KEY, str(error))
        return "decide_without_judge"
    return "ask_gpt4"


def skipped(raw_evidence: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return the result of a run that had nothing to ask."""
    from include.analyst.analysis_documents import skipped_result
    from include.analyst.evidence import Evidence

    return skipped_result(context["run_id"], _left(context, WHY_KEY), Evidence.model_validate(raw_evidence))


def ask_judge(raw_evidence: dict[str, Any], context: Context) -> dict[str, Any]:
    """Ask; leave what went wrong as an XCom for the decision that follows."""
    from dags.wiring.runtime import database
    from include.analyst.errors import AnswerError
    from include.analyst.evidence import Evidence
    from include.analyst.judge import ask
    from include.analyst.ledger import CostLedger
    from include.analyst.prompt import build_messages
    from include.settings import get_settings

    ti, settings = context["ti"], get_settings()
    messages = build_messages(Evidence.model_validate(raw_evidence))
    try:
        ledger = CostLedger(database(), settings)
        return ask(settings, messages, ledger, context["run_id"], try_number=ti.try_number).to_dict()
    except AnswerError as error:
        ti.xcom_push(FAILURE_KEY, {"answer_error": error.to_dict()})
        raise
    except Exception as error:
        ti.xcom_push(FAILURE_KEY, {"unavailable": str(error)})
        raise


def judged(raw_evidence: dict[str, Any], judgement: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return the result that follows from a verdict."""
    from include.analyst.analysis_documents import judged_result
    from include.analyst.decision import decide
    from include.analyst.evidence import Evidence
    from include.analyst.judge import Judgement
    from include.settings import get_settings

    evidence, verdict = Evidence.model_validate(raw_evidence), Judgement.from_dict(judgement)
    forced = run_params(SelfAnalysisParams, context).force_analysis
    decision = decide(verdict.answer, evidence, get_settings(), forced=forced)
    return judged_result(context["run_id"], verdict, decision, evidence, _left(context, REASONS_KEY))


def not_asked(raw_evidence: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return the result of a run that may not ask."""
    return _fallback(raw_evidence, _left(context, WHY_KEY), context)


def failed_call(context: Context) -> dict[str, Any]:
    """Return the result after a call that failed for good."""
    from include.analyst.analysis_documents import error_result
    from include.analyst.decision import undecided
    from include.analyst.errors import AnswerError
    from include.analyst.evidence import Evidence

    ti = context["ti"]
    raw_evidence = ti.xcom_pull(task_ids="gather_evidence")
    failure = ti.xcom_pull(task_ids="ask_gpt4", key=FAILURE_KEY) or {}
    if "answer_error" not in failure:
        return _fallback(raw_evidence, failure.get("unavailable") or "the asking task was killed", context)
    error = AnswerError.from_dict(failure["answer_error"])
    evidence = Evidence.model_validate(raw_evidence)
    return error_result(context["run_id"], error, undecided(error), evidence, _left(context, REASONS_KEY))


def store(context: Context) -> dict[str, Any]:
    """Store the decision that was taken in `gpt4_analysis_history`; spool it while MongoDB is away."""
    from datetime import UTC, datetime

    from dags.wiring.storage import keep
    from include.analyst.analysis_documents import analysis_document
    from include.analyst.evidence import Evidence
    from include.store.collections import GPT4_ANALYSIS_HISTORY

    ti, run_id = context["ti"], context["run_id"]
    taken = [decision for name in DECIDING_TASKS if (decision := ti.xcom_pull(task_ids=name)) is not None]
    if len(taken) != 1:
        raise ValueError(f"run {run_id} took {len(taken)} decisions instead of one")
    result: dict[str, Any] = taken[0]
    evidence = Evidence.model_validate(ti.xcom_pull(task_ids="gather_evidence"))
    keep(context, GPT4_ANALYSIS_HISTORY, analysis_document(result, evidence, datetime.now(UTC)))
    return result


def retraining_runs(analysis: dict[str, Any], context: Context) -> list[dict[str, Any]]:
    """Return the arguments of the triggers: one run per configured symbol."""
    from include.settings import get_settings

    settings, found = get_settings(), analysis["analysis"]
    return [
        {
            "trigger_run_id": child_run_id(f"retrain_{symbol}", context["run_id"]),
            "conf": {
                "symbol": symbol,
                "model_types": found["decision"]["model_types"],
                "analysis_result": {
                    "recommendation": found["recommendation"],
                    "reasoning": found["reasoning"],
                    "confidence": found["confidence"],
                    "analysis_task_id": context["run_id"],
                },
                "trigger": "gpt4_recommendation" if found["decision"]["judge"] == "gpt4" else "fallback",
                "days_of_data": settings.retrain_days,
                "epochs": settings.retrain_epochs,
            },
        }
        for symbol in settings.symbols
    ]


def confirm_runs(runs: list[dict[str, Any]], context: Context) -> list[str]:
    """Record the retraining runs, once Airflow says that they exist."""
    from dags.wiring.runtime import database
    from dags.wiring.storage import stored_by_now
    from include.analyst.history import mark_retrain_triggered
    from include.errors import TransientError

    ids = [run["trigger_run_id"] for run in runs]
    missing = [run_id for run_id in ids if not existing_child(context["ti"], "adaptive_retrain", run_id)]
    if missing:
        raise TransientError(f"adaptive_retrain has no run {', '.join(missing)} although it was triggered")
    mark_retrain_triggered(stored_by_now(database()), context["run_id"], ids)
    return ids


def tell(analysis: dict[str, Any], context: Context) -> dict[str, Any]:
    """Send the message and return the run's result, with the retraining runs that exist."""
    from dags.wiring.runtime import send
    from include.analyst.history import with_retrain
    from include.notify.gpt4_analysis import analysis_message

    ids = context["ti"].xcom_pull(task_ids="confirm_retraining") or []
    result = with_retrain(analysis, ids)
    send(analysis_message(result))
    return result


def _fallback(raw_evidence: dict[str, Any], why: str, context: Context) -> dict[str, Any]:
    from include.analyst.analysis_documents import fallback_result
    from include.analyst.decision import fallback
    from include.analyst.evidence import Evidence

    evidence = Evidence.model_validate(raw_evidence)
    decision = fallback(evidence, why)
    result = fallback_result(context["run_id"], decision, evidence, _left(context, REASONS_KEY))
    return {**result, "error": why}


def _left(context: Context, key: str) -> Any:
    return context["ti"].xcom_pull(task_ids="is_analysis_needed", key=key)
