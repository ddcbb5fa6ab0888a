"""The steps of `enable_gpt4` between Airflow, the person who approves, and the switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.params import run_params
from include.tasks_api.params.reports import EnableGpt4Params

Context = Mapping[str, Any]

HISTORY_SHOWN = 5


def gather_evidence(context: Context) -> dict[str, Any]:
    """Return what a person should see before approving: `on`, and `text` in Markdown."""
    from datetime import UTC, datetime

    from dags.wiring.runtime import database, triggering_user
    from include.analyst.cost_control import present_costs
    from include.analyst.gpt4_switch import read_switch
    from include.markdown import inline
    from include.notify.reports.cost import switched_off_text
    from include.notify.reports.render import usd, when
    from include.settings import get_settings
    from include.store.collections import GPT4_SWITCH_HISTORY
    from include.store.outage import mongo_outage

    params, settings, db, now = run_params(EnableGpt4Params, context), get_settings(), database(), datetime.now(UTC)
    switch = read_switch(db)
    costs, about = present_costs(db, settings, now)
    with mongo_outage("reading the history of the switch of GPT-4"):
        history = list(db[GPT4_SWITCH_HISTORY].find().sort("version", -1).limit(HISTORY_SHOWN))
    lines = [
        inline(switched_off_text(switch)),
        "",
        f"**Asked for by** {inline(triggering_user(context) or 'unknown user')}: {inline(params.reason)}",
        "",
        "| Spent (ledger and AI service) | USD | Critical above |",
        "|---|---|---|",
        f"| today (UTC) | {usd(costs.today)} | {usd(settings.daily_cost_critical_usd)} |",
        f"| yesterday | {usd(costs.yesterday)} | {usd(settings.daily_cost_critical_usd)} |",
        f"| this month | {usd(costs.month)} | {usd(settings.monthly_cost_critical_usd)} |",
        f"| projected for today | {usd(costs.projected_day)} | |",
        "",
        *(f"- {inline(note)}" for note in about["notes"]),
        "",
        "Approving grants the exceeded limit once more, on top of what is spent by then. Last changes:",
        "",
        *(
            f"- {when(row['at'])}: {'on' if row['on'] else 'off'}, by {inline(row['by'])}: {inline(row['reason'])}"
            for row in history
        ),
    ]  # fmt: skip
    return {"on": switch.on, "text": "\n".join(lines)}


def switch_on_again(context: Context) -> dict[str, Any]:
    """Switch GPT-4 on in the name of whoever approved; send the note; repeatable.

    :raises airflow.sdk.exceptions.AirflowSkipException: when it was refused.
    :raises include.errors.TradingOpsError: when nobody has been asked.
    """
    from datetime import UTC, datetime

    from dags.wiring.approval import approver
    from dags.wiring.runtime import database, send
    from include.analyst.cost_control import present_costs
    from include.analyst.cost_limits import Approval
    from include.analyst.gpt4_switch import read_switch, switch_on
    from include.errors import TradingOpsError
    from include.notify.reports.cost import gpt4_on_message
    from include.settings import get_settings

    params, who = run_params(EnableGpt4Params, context), approver(context)
    if who is None:
        raise TradingOpsError("GPT-4 stays switched off: nobody has approved it")
    db, now = database(), datetime.now(UTC)
    by = f"{who} (enable_gpt4/{context['run_id']})"
    costs, _ = present_costs(db, get_settings(), now)
    approval = Approval(f"{now:%Y-%m-%d}", costs.today, f"{now:%Y-%m}", costs.month)
    evidence = {"today_usd": costs.today, "month_usd": costs.month, "approval": approval.to_document()}
    switch_on(db, params.reason, evidence, by, now)
    switch = read_switch(db)
    if switch.by == by:
        send(gpt4_on_message(switch))
    return {"on": switch.on, "by": switch.by}


def end(context: Context) -> dict[str, Any]:
    """Return what the run has come to: `switched_on`, `refused` or `already_on`, and by whom; say a refusal."""
    from dags.wiring.approval import NOBODY, answer
    from dags.wiring.runtime import database, send
    from include.analyst.gpt4_switch import read_switch
    from include.notify.reports.cost import gpt4_refused_message

    switch = read_switch(database())
    known = {"status": "success", "task_id": context["run_id"], "on": switch.on, "by": switch.by}
    if context["ti"].xcom_pull(task_ids="gather_evidence")["on"]:
        return {**known, "outcome": "already_on", "reason": "GPT-4 was on already: nothing was to be approved"}
    approved, who = answer(context) or (False, NOBODY)
    if approved:
        return {**known, "outcome": "switched_on", "approved_by": who}
    send(gpt4_refused_message(switch, f"by {who}", context["run_id"]))
    return {**known, "outcome": "refused", "refused_by": who, "reason": f"refused by {who}"}
