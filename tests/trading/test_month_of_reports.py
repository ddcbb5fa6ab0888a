"""A month of simulated days through the three reports, as their DAGs' steps make them: real MongoDB, real HTTP.

One day is missing (nothing ran), the AI service restarts once, weekends have no trades, and the month is
February 2028 with its 29 days, up to March. What each day should say is written down here by hand.
"""

from __future__ import annotations

import calendar
import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
import time_machine
from bson.codec_options import CodecOptions
from pymongo.database import Database

from dags.wiring import costs, performance, portfolio
from dags.wiring.runtime import engine as engine_client
from include.analyst.cost_limits import Approval
from include.analyst.gpt4_switch import read_switch, switch_on
from include.settings import get_settings
from include.store.collections import (
    API_COST_HISTORY,
    GPT4_COSTS,
    OUTBOX,
    PERFORMANCE_METRICS,
    PORTFOLIO_REPORTS,
    ensure_indexes,
)
from include.trading.performance import HISTORY, analyse
from sandbox.ai_service.costs import SessionCosts, cost_statistics
from sandbox.mongod import Mongod
from tests.analyst.cost_parts import ledger_row
from tests.trading.engine_answers import CLOSED, PORTFOLIO, envelope, trade
from tests.trading.loopback import LoopbackServer, as_json, loopback

# The steps open a client each and leave it to the end of their process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

MISSING_DAY, RESTART_DAY = 15, 18
INITIAL = 10_000.0

# USD: the ledger's at 02:00, the AI service's at 15:00 (read at 08:58 and 23:58); 0.10 each on all other days.
LEDGER = {8: 0.90, 12: 5.40, 22: 2.20}
SERVICE = {5: 2.40}
MONTHLY_WARNING = 12.0
ALERTS = {
    6: ["⚠️ WARNING: Yesterday's cost $2.50 exceeds $2.00 warning!"],
    8: ["⚠️ WARNING: Projected daily cost $2.40 exceeds $2.00 warning!"],
    12: ["🚨 CRITICAL: Daily cost $5.40 exceeds $5.00 limit!"],
    13: ["⚠️ WARNING: Yesterday's cost $5.50 exceeds $5.00 limit! GPT-4 was switched off for it"],
    22: [
        "🚨 CRITICAL: Projected daily cost $5.87 exceeds $5.00 limit!",
        "⚠️ WARNING: Daily cost $2.20 exceeds $2.00 warning!",
    ],
    23: ["⚠️ WARNING: Yesterday's cost $2.30 exceeds $2.00 warning!"],
}
MONTHLY_FROM = 19
"""The first day on which the month to date exceeds 12 dollars at 09:00."""
SWITCHED_OFF_ON = [12, 22]
BAD_DAYS = range(9, 14)
"""On these days most trades lose."""


class TaskInstance:
    """What the steps ask of their task instance."""

    dag_id, try_number = "month", 1


def context(run_id: str) -> dict[str, Any]:
    return {"ti": TaskInstance(), "run_id": run_id, "params": {}, "task_state_store": {}}


def day_trades(day: date) -> list[float]:
    """Returns in percent of the trades that close at noon; none at weekends."""
    if day.weekday() >= 5:
        return []
    return [2.0] + [-1.5] * 3 if day.day in BAD_DAYS else [4.0] * 3 + [-1.0]


@dataclass
class Month:
    """The simulated world of one month, and what the reports said about it."""

    year: int
    month: int
    engine: LoopbackServer
    service: LoopbackServer
    db: Database[dict[str, Any]]
    counter: float = 7.77
    spent: dict[date, float] = field(default_factory=dict)
    reports: dict[str, dict[date, dict[str, Any]]] = field(
        default_factory=lambda: {"portfolio": {}, "cost": {}, "performance": {}}
    )
    switched_off: list[date] = field(default_factory=list)

    @property
    def days(self) -> list[date]:
        """All days of the month, and the first two of the next."""
        first = date(self.year, self.month, 1)
        return [first + timedelta(days=n) for n in range(self.length + 2)]

    @property
    def length(self) -> int:
        return calendar.monthrange(self.year, self.month)[1]

    def live(self) -> None:
        """Let the days pass."""
        before = self.days[0] - timedelta(days=1)
        self._look(self._at(before, 23, 58))
        for day in self.days:
            special = day.month == self.month
            nightly = LEDGER.get(day.day, 0.10) if special else 0.10
            self.db[GPT4_COSTS].insert_one(ledger_row(nightly, self._at(day, 2)))
            missing = special and day.day == MISSING_DAY
            if not missing:
                self._measure_performance(day)
                self._report_portfolio(day)
                self._look(self._at(day, 8, 58))
                self._report_costs(day)
                self._approve(self._at(day, 10))
            if special and day.day == RESTART_DAY:
                self.counter = 0.0
            daily = SERVICE.get(day.day, 0.10) if special else 0.10
            self.counter += daily
            self.spent[day] = nightly + daily
            if not missing:
                self._look(self._at(day, 23, 58))

    def _look(self, at: datetime) -> None:
        with self._now(at):
            found = costs.check(context(f"watch-{at:%Y%m%dT%H%M}"))
        if found["gpt4_switched_off"]:
            self.switched_off.append(at.date())

    def _report_costs(self, day: date) -> None:
        run = context(f"cost-{day}")
        with self._now(self._at(day, 9)):
            measured = costs.measure(run)
            assert costs.store(measured, run) == "stored"
            costs.notify(measured, run)
        self.reports["cost"][day] = measured["report"]

    def _report_portfolio(self, day: date) -> None:
        run = context(f"portfolio-{day}")
        with self._now(self._at(day, 8)):
            report = portfolio.measure(run)
            assert portfolio.store(report, run) == "stored"
            portfolio.require_complete(report)
        self.reports["portfolio"][day] = report

    def _measure_performance(self, day: date) -> None:
        at = self._at(day, 1)
        run = context(f"performance-{day}")
        with self._now(at):
            analysis = analyse(engine_client().closed_trades(since=at - HISTORY), at).model_dump(mode="json")
            performance.store(analysis, run)
        self.reports["performance"][day] = analysis

    def _approve(self, at: datetime) -> None:
        if read_switch(self.db).on:
            return
        report = self.reports["cost"][at.date()]["actual"]
        seen = Approval(
            f"{at:%Y-%m-%d}", report["today"]["cost_usd"], f"{at:%Y-%m}", report["month_to_date"]["cost_usd"]
        )
        assert switch_on(self.db, "looked at it", {"approval": seen.to_document()}, "ada", at)

    def _now(self, at: datetime) -> Any:
        """Set the clock, and let both services answer as of then."""
        rows = [row for day, row in self._rows(at)]
        pnl = math.fsum(row["pnl"] for row in rows)
        wins = sum(row["pnl"] > 0 for row in rows)
        book = {
            **PORTFOLIO, "total_trades": len(rows) + 1, "win_rate": 100 * wins / (len(rows) + 1),
            "total_pnl": pnl + 5.0, "total_pnl_percentage": (pnl + 5.0) / 100,
            "current_balance": INITIAL + pnl, "equity": INITIAL + pnl + 5.0,
        }  # fmt: skip
        self.engine.routes["/api/paper-trading/portfolio"] = as_json(envelope(book))
        self.engine.routes[CLOSED] = as_json(envelope(rows))
        answer = SessionCosts(round(self.counter * 100), 4000, 900, self.counter)
        self.service.routes["/ai/cost/statistics"] = as_json(cost_statistics(answer, at.isoformat()))
        return time_machine.travel(at, tick=True)

    def _rows(self, at: datetime) -> Iterator[tuple[date, dict[str, Any]]]:
        day = self.days[0] - timedelta(days=10)
        while self._at(day, 13) < at:
            for n, value in enumerate(day_trades(day)):
                name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{day}/{n}"))
                yield day, trade(value, self._at(day, 12) + timedelta(minutes=n), id=name)
            day += timedelta(days=1)

    @staticmethod
    def _at(day: date, hour: int, minute: int = 0) -> datetime:
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


@pytest.fixture(scope="module")
def month(mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    name = f"test_month_{uuid.uuid4().hex[:8]}"
    with loopback() as engine, loopback() as service, pytest.MonkeyPatch.context() as patch:
        for variable, value in {
            "TRADING_OPS_STATE_DIR": str(tmp_path_factory.mktemp("month")),
            "TRADING_OPS_MONGO_DATABASE": name,
            "TRADING_OPS_ENGINE_BASE_URL": engine.url,
            "TRADING_OPS_AI_SERVICE_BASE_URL": service.url,
            "TRADING_OPS_NOTIFICATIONS_ENABLED": "0",
            "TRADING_OPS_MONTHLY_COST_WARNING_USD": str(MONTHLY_WARNING),
            "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}),
        }.items():
            patch.setenv(variable, value)
        get_settings.cache_clear()
        with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
            db = client.get_database(name, codec_options=CodecOptions(tz_aware=True))
            ensure_indexes(db)
            lived = Month(2028, 2, engine, service, db)
            lived.live()
            yield lived
            client.drop_database(name)
        get_settings.cache_clear()


def in_month(month: Month) -> list[date]:
    return month.days[: month.length]


def test_tc_async_037_038_039_alerts_fire_exactly_on_their_days(month: Month) -> None:
    for day, report in month.reports["cost"].items():
        expected = list(ALERTS.get(day.day, ())) if day.month == month.month else []
        if day.month == month.month and day.day >= MONTHLY_FROM:
            said = [alert for alert in report["alerts"] if "Monthly cost" in alert]
            assert len(said) == 1, day
            assert said[0].endswith("exceeds $12.00 warning!")
            expected += said
        assert sorted(report["alerts"]) == sorted(expected), day
    assert [day.day for day in month.switched_off] == SWITCHED_OFF_ON


def test_cost_messages_have_the_severity_of_their_day_and_come_once(month: Month) -> None:
    sent = {row["_id"]: row["severity"] for row in month.db[OUTBOX].find({}, {"severity": 1})}
    for day in month.reports["cost"]:
        inside = day.month == month.month
        worst = "warning" if inside and (day.day in ALERTS or day.day >= MONTHLY_FROM) else "info"
        worst = "critical" if inside and day.day in SWITCHED_OFF_ON else worst
        assert sent.pop(f"api_cost:cost-{day}") == worst, day
    switched = {key: severity for key, severity in sent.items() if key.startswith("gpt4_switch:")}
    assert len(switched) == len(sent) == 2
    assert set(switched.values()) == {"critical"}


def test_tc_async_049_days_add_up_to_the_month(month: Month) -> None:
    truth = {day: month.spent[day] for day in in_month(month)}
    following = month.reports["cost"][month.days[month.length]]
    assert following["actual"]["previous_month"]["cost_usd"] == pytest.approx(math.fsum(truth.values()))
    assert following["actual"]["month_to_date"]["cost_usd"] == pytest.approx(0.10), "a new month begins at 0"
    for day in in_month(month)[1:]:
        if day.day in (MISSING_DAY, MISSING_DAY + 1):
            continue
        # What the AI service spent on the missing day was seen a day later, and counts then.
        late = {MISSING_DAY + 2: 0.10}.get(day.day, 0.0)
        yesterday = month.reports["cost"][day]["actual"]["yesterday"]["cost_usd"]
        assert yesterday == pytest.approx(month.spent[day - timedelta(days=1)] + late), day
    after_gap = month.reports["cost"][in_month(month)[MISSING_DAY]]
    assert after_gap["actual"]["yesterday"]["cost_usd"] == pytest.approx(0.10), "the ledger's part"
    assert any("when it was not read" in note for note in after_gap["notes"])
    assert any("restarted" in note for note in month.reports["cost"][in_month(month)[-1]]["notes"])


def test_tc_async_049_month_to_date_and_projections_follow_the_months_length(month: Month) -> None:
    for day, report in month.reports["cost"].items():
        days = calendar.monthrange(day.year, day.month)[1]
        spent = report["actual"]["month_to_date"]["cost_usd"]
        assert report["projections"]["monthly_cost_usd"] == pytest.approx(
            spent / (day.day - 1 + 9 / 24) * days, rel=1e-4
        )
        split = report["by_model"].values()
        assert math.fsum(row["cost_usd"] for row in split) == pytest.approx(spent)


def test_tc_async_036_046_the_portfolios_days_add_up_to_its_balance(month: Month) -> None:
    reports = month.reports["portfolio"]
    size = 67000.5 * 0.003 / 100
    for day in in_month(month)[1:]:
        if day not in reports:
            continue
        returns = day_trades(day - timedelta(days=1))
        assert reports[day]["yesterday"]["trades"] == len(returns), day
        assert reports[day]["yesterday"]["pnl_usdt"] == pytest.approx(math.fsum(returns) * size, abs=1e-4)
        assert reports[day]["disagreements"] == []
        assert reports[day]["open_trades"] == 1
    first, last = reports[in_month(month)[0]], reports[month.days[month.length]]
    earned = math.fsum(math.fsum(day_trades(day)) for day in in_month(month)) * size
    assert last["balance"] - first["balance"] == pytest.approx(earned, abs=1e-4)
    counted = sum(len(day_trades(day)) for day in in_month(month))
    assert last["total_trades"] - first["total_trades"] == counted
    assert last["curve"]["realised"][-1]["usdt"] == pytest.approx(last["balance"])


def test_tc_async_040_041_the_win_rate_is_critical_exactly_while_the_bad_days_are_in_the_window(month: Month) -> None:
    for day, analysis in month.reports["performance"].items():
        window = [value for back in range(1, 8) for value in day_trades(day - timedelta(days=back))]
        win_rate = 100 * sum(value > 0 for value in window) / len(window)
        average = math.fsum(window) / len(window)
        assert analysis["metrics"]["total_trades"] == len(window)
        assert analysis["metrics"]["win_rate"] == pytest.approx(win_rate)
        assert (analysis["grades"]["win_rate_status"] == "critical") == (win_rate < 55), day
        assert (analysis["grades"]["avg_profit_status"] == "critical") == (average < 1.5), day
        assert analysis["trigger_ai_analysis"] == ("critical" in analysis["grades"].values())
    critical = {day.day for day, a in month.reports["performance"].items() if a["trigger_ai_analysis"]}
    assert critical, "the bad days are noticed"


def test_every_day_but_the_missing_one_is_stored_once(month: Month) -> None:
    days = {str(day) for day in month.days if (day.month, day.day) != (month.month, MISSING_DAY)}
    for collection, query in (
        (PORTFOLIO_REPORTS, {}),
        (PERFORMANCE_METRICS, {}),
        (API_COST_HISTORY, {"kind": "report"}),
    ):
        stored = [row["date"] for row in month.db[collection].find(query)]
        assert sorted(stored) == sorted(days), collection
    readings = month.db[API_COST_HISTORY].count_documents({"kind": "reading"})
    assert readings == 2 * len(days) + 1


def test_february_2028_has_its_leap_day(month: Month) -> None:
    assert date(2028, 2, 29) in month.reports["cost"]
    assert month.reports["portfolio"][date(2028, 3, 1)]["yesterday"]["date"] == "2028-02-29"


def test_the_state_folder_holds_no_spooled_document(month: Month) -> None:
    assert list(Path(get_settings().spool_dir).glob("*.json*")) == []
