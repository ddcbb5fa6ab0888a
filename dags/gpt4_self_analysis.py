"""# GPT-4 self-analysis

Puts the bundle's own figures before GPT-4 and asks whether the models should be retrained.

- **When:** 03:00 UTC, at once when `daily_performance_analysis` finds something critical, or on demand.
- **Asks only** when a metric is critical, a champion's accuracy is down, or `force_analysis` says so; when the key
  is set; when GPT-4 is not switched off (`enable_gpt4` switches it on again); and when the worst case of the call fits
  into today's and this month's budget and the hourly limit.
- **Retrains** (one `adaptive_retrain` run per configured symbol) on `retrain` with a confidence of at least 0.7 and
  urgency medium or high, unless a hard veto forbids it.
- **No judge:** without a retraining unless two metrics are critical; then all models are retrained, and the report
  says that no judge was asked.
- **Result:** `gpt4_analysis_history`, costs in `gpt4_costs`, a message, the XCom of `result`.
- **Fails** when GPT-4 stayed unreachable or answered unusably twice; what follows from that is decided and stored
  all the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, dag, task

from dags.wiring.children import TriggerAsGiven
from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from dags.wiring.retry import retries
from dags.wiring.watcher import fail_when_any_failed
from include.tasks_api.params.reports import SelfAnalysisParams

GPT4_RETRIES = 2
"""One call and two retries."""


@dag(
    dag_id="gpt4_self_analysis",
    description="Asks GPT-4 whether the models should be retrained.",
    schedule="0 3 * * *",
    params=dag_params(SelfAnalysisParams),
    tags=["ai-improvement", "scheduled", "on-demand"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin"),
)
def gpt4_self_analysis() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def gather_evidence(**context: Any) -> dict[str, Any]:
        """Collect the figures: trades, champions' accuracy, market."""
        from dags.wiring.analysis import gather

        return gather(context)

    @task.branch
    def is_analysis_needed(evidence: dict[str, Any], **context: Any) -> str:
        """Choose the way: nothing to ask about, ask, or decide without a judge (no key, switch, budget, limit)."""
        from dags.wiring.analysis import choose_way

        return choose_way(evidence, context)

    @task(multiple_outputs=False)
    def skip_analysis(evidence: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Return why nothing was asked."""
        from dags.wiring.analysis import skipped

        return skipped(evidence, context)

    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=3), **retries(GPT4_RETRIES))
    def ask_gpt4(evidence: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Ask, with one repair attempt; every request is paid from the ledger first."""
        from dags.wiring.analysis import ask_judge

        return ask_judge(evidence, context)

    @task(multiple_outputs=False)
    def decide_by_verdict(evidence: dict[str, Any], judgement: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Apply the rule and the hard vetoes to the verdict."""
        from dags.wiring.analysis import judged

        return judged(evidence, judgement, context)

    @task(multiple_outputs=False)
    def decide_without_judge(evidence: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Apply the fallback rule, because no judge may be asked."""
        from dags.wiring.analysis import not_asked

        return not_asked(evidence, context)

    @task(trigger_rule="one_failed", multiple_outputs=False)
    def decide_after_failed_call(**context: Any) -> dict[str, Any]:
        """Apply the fallback rule to an unreachable judge; an unusable answer retrains nothing."""
        from dags.wiring.analysis import failed_call

        return failed_call(context)

    @task(trigger_rule="one_success", multiple_outputs=False)
    def store_analysis(**context: Any) -> dict[str, Any]:
        """Store the analysis; while MongoDB is away it waits in the spool."""
        from dags.wiring.analysis import store

        return store(context)

    @task.branch
    def is_retraining_wanted(analysis: dict[str, Any]) -> list[str]:
        """Choose by the decision."""
        if analysis["analysis"]["decision"]["retrain"]:
            return ["plan_retraining", "confirm_retraining"]
        return ["keep_models"]

    @task
    def plan_retraining(analysis: dict[str, Any], **context: Any) -> list[dict[str, Any]]:
        """Return one run per configured symbol: its id, derived from this run's, and its params."""
        from dags.wiring.analysis import retraining_runs

        return retraining_runs(analysis, context)

    # An existing child makes the trigger skip: what came before it decides.
    @task(trigger_rule="none_failed_min_one_success")
    def confirm_retraining(runs: list[dict[str, Any]], **context: Any) -> list[str]:
        """Make sure that the runs exist, and record their ids."""
        from dags.wiring.analysis import confirm_runs

        return confirm_runs(runs, context)

    @task
    def keep_models() -> None:
        """Retrain nothing."""

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    def notify(analysis: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Send the recommendation, the decision and its reason."""
        from dags.wiring.analysis import tell

        return tell(analysis, context)

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return the result of the run as specified."""
        pulled = context["ti"].xcom_pull
        answer: dict[str, Any] = pulled(task_ids="notify") or pulled(task_ids="skip_analysis")
        return answer

    evidence = gather_evidence()
    way = is_analysis_needed(evidence)
    skipped = skip_analysis(evidence)
    asked = ask_gpt4(evidence)
    by_verdict = decide_by_verdict(evidence, asked)
    without_judge = decide_without_judge(evidence)
    after_failure = decide_after_failed_call()
    stored = store_analysis()
    wanted = is_retraining_wanted(stored)
    planned = plan_retraining(stored)
    trigger = TriggerAsGiven.partial(
        task_id="trigger_adaptive_retrain",
        trigger_dag_id="adaptive_retrain",
        logical_date=None,
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
    ).expand_kwargs(planned)
    confirmed = confirm_retraining(planned)
    kept = keep_models()
    told = notify(stored)
    ended = result()

    way >> Label("nothing is wrong, or analysed before") >> skipped
    way >> Label("ask") >> asked
    way >> Label("no key, switched off, no budget, or rate limit") >> without_judge
    asked >> Label("unreachable or unusable") >> after_failure
    [by_verdict, without_judge, after_failure] >> stored
    wanted >> Label("retrain") >> [planned, confirmed]
    wanted >> Label("wait") >> kept
    trigger >> confirmed
    [confirmed, kept] >> told
    [told, skipped] >> ended
    fail_when_any_failed([evidence, way, skipped, asked, stored, planned, trigger, confirmed, told, ended])


gpt4_self_analysis()
