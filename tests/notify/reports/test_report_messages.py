"""The reports as people get them: HTML that mail clients understand, plain text, and a compact form for chats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from include.analyst.cost_report import ServiceAnswer
from include.analyst.gpt4_switch import NEVER_CHANGED, SwitchState
from include.charts.equity import equity_chart
from include.charts.trend import trend_chart
from include.notify.message import Message, Severity
from include.notify.reports.cost import cost_message, gpt4_off_message, gpt4_on_message, gpt4_refused_message
from include.notify.reports.performance import performance_message
from include.notify.reports.portfolio import portfolio_message
from include.notify.reports.render import number, pct, usd, usdt, when
from include.trading.performance import analyse
from include.trading.portfolio_report import build_portfolio_report
from include.trading.trades import parse_trades
from tests.analyst.cost_parts import answered, paid, reading, report_of
from tests.analyst.evidence_parts import POOR
from tests.trading.engine_answers import NOW, trade, week
from tests.trading.test_portfolio_report import EIGHT, book, portfolio_of

NINE = datetime(2025, 11, 22, 9, 0, tzinfo=UTC)
OFF = SwitchState(False, "Daily cost $6.50 exceeds $5.00 limit", "watch_api_costs/r", NINE, 3, {"today_usd": 6.5})
HOSTILE = "<script>alert('x')</script> & <b>bold"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page: its text, its pictures, and that every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def the_portfolio(**changes: object) -> Message:
    trades = book(32, 15)
    report = build_portfolio_report(portfolio_of(trades, **changes), trades, EIGHT)
    return portfolio_message(report, "run-1", equity_chart(report.curve))


def the_costs(*usd: float, switch: SwitchState = NEVER_CHANGED) -> Message:
    midnight = NINE.replace(hour=0)
    ledger = [paid(amount, midnight + timedelta(hours=position)) for position, amount in enumerate(usd)]
    report, _ = report_of(NINE, ledger, [reading(midnight - timedelta(hours=1), 1.77)], answered(NINE, 1.87))
    return cost_message(report, switch, "run-1")


def the_performance() -> Message:
    analysis = analyse(parse_trades(week(*POOR)), NOW)
    return performance_message(analysis, "run-1", trend_chart(analysis.daily))


MESSAGES = {"portfolio": the_portfolio, "cost": lambda: the_costs(0.2, 0.3), "performance": the_performance}


@pytest.mark.parametrize("name", MESSAGES)
def test_every_report_has_three_forms_that_name_its_data_and_its_run(name: str) -> None:
    message = MESSAGES[name]()
    page = Page(message.html)
    assert page.tags <= {
        "html", "head", "meta", "title", "body", "table", "tr", "td", "th", "h1", "h2", "p", "br", "img",
    }, "no scripts, no styles outside of the elements"  # fmt: skip
    assert message.html.startswith("<!DOCTYPE html>")
    assert "max-width:600px" in message.html
    assert len(message.html) < 100_000
    for text in (page.text, message.body):
        assert "UTC" in text
        assert "Run run-1" in text
        assert message.title.split(":")[0] in text or text is message.body
    assert message.chat
    assert len(message.chat) < len(message.body) < 10_000
    assert "UTC" in message.chat
    assert "None" not in page.text + message.body + message.chat
    assert "..." not in message.body


@pytest.mark.parametrize("name", ["portfolio", "performance"])
def test_pictures_are_shown_inline_with_their_words(name: str) -> None:
    message = MESSAGES[name]()
    (image,) = message.images
    (shown,) = Page(message.html).images
    assert shown["src"] == f"cid:{image.name}"
    assert shown["alt"] == image.alt
    assert len(image.png) < 100_000


def test_tc_async_036_the_portfolio_mail_says_money_and_rates_with_units() -> None:
    message = the_portfolio(current_balance=10_542.75, total_pnl_percentage=5.4275)
    text = Page(message.html).text
    assert message.title == "Daily portfolio report 2025-11-22: 10,542.75 USDT, +5.43 %"
    for form in (text, message.body, message.chat):
        assert "10,542.75 USDT" in form
        assert "68.09 %" in form
    assert "unattributed" in text
    assert "carry no strategy name" in message.body
    assert message.dedupe_key == "portfolio:run-1:complete"


def test_tc_async_046_no_trades_is_information_and_says_so() -> None:
    report = build_portfolio_report(portfolio_of([], 0, total_pnl=17.25), [], EIGHT)
    message = portfolio_message(report, "run-1", equity_chart(report.curve))
    assert message.severity == Severity.INFO
    for form in (Page(message.html).text, message.body, message.chat):
        assert "No trade has closed so far" in form
    assert "No trade closed." in Page(message.html).text
    assert "0.00 %" not in message.body.replace("+0.17 %", "").replace("(1.20 %)", "")


def test_an_engine_without_answers_is_an_error_without_figures() -> None:
    report = build_portfolio_report(None, None, EIGHT, problems={"portfolio": HOSTILE, "trades": HOSTILE})
    message = portfolio_message(report, "run-1")
    assert message.severity == Severity.ERROR
    assert message.fields == {}
    assert "cannot be reached" in message.title
    assert HOSTILE in Page(message.html).text
    assert "Balance" not in message.body + message.chat
    assert message.dedupe_key == "portfolio:run-1:unavailable"


def test_half_a_report_and_a_contradiction_warn() -> None:
    trades = book(2, 1)
    half = build_portfolio_report(None, trades, EIGHT, problems={"portfolio": "status 500"})
    message = portfolio_message(half, "run-1", equity_chart(half.curve))
    assert message.severity == Severity.WARNING
    assert "incomplete" in message.title
    assert "status 500" in message.chat
    torn = the_portfolio(total_pnl=9_999.0)
    assert torn.severity == Severity.WARNING
    assert "contradicts itself" in Page(torn.html).text


def test_what_a_service_says_is_escaped() -> None:
    trades = parse_trades([trade(1.0, EIGHT - timedelta(days=2), strategy=HOSTILE)])
    report = build_portfolio_report(portfolio_of(trades), trades, EIGHT)
    message = portfolio_message(report, "run-1")
    assert "<script" not in message.html
    assert HOSTILE in Page(message.html).text
    costs, _ = report_of(NINE, service=ServiceAnswer("not_available", reason=HOSTILE))
    assert "<script" not in cost_message(costs, NEVER_CHANGED, "run-1").html


def test_tc_async_037_costs_within_the_limits_are_information() -> None:
    message = the_costs(0.2, 0.3)
    assert message.severity == Severity.INFO
    assert "Within the limits." in message.body
    assert message.title == "Daily API cost report 2025-11-22: $0.60 today, $0.00 yesterday"
    for words in ("gpt-4o", "grok-4-1-fast-non-reasoning", "gpt4_self_analysis", "46,750 VND", "tokens in"):
        assert words in message.body
    assert message.fields["GPT-4"] == "on"


def test_tc_async_038_a_warning_warns() -> None:
    message = the_costs(2.24)
    assert "⚠️ WARNING: Daily cost $2.34 exceeds $2.00 warning!" in message.body


def test_tc_async_039_a_critical_report_says_that_gpt4_is_off_and_how_it_comes_back() -> None:
    message = the_costs(6.5, switch=OFF)
    assert message.severity == Severity.CRITICAL
    for form in (Page(message.html).text, message.body, message.chat):
        assert "🚨 CRITICAL: Daily cost" in form
        assert "GPT-4 is switched off since 2025-11-22 09:00 UTC" in form
        assert "enable_gpt4" in form
    alert = gpt4_off_message(OFF)
    assert (alert.severity, alert.dedupe_key) == (Severity.CRITICAL, "gpt4_switch:3:2025-11-22T09:00:00+00:00")
    assert "$6.50 exceeds $5.00" in alert.body
    assert alert.fields["Spent today"] == "$6.50"


def test_tc_async_048_a_service_that_is_not_available_warns_and_shows_no_zero() -> None:
    report, _ = report_of(NINE, [paid(0.5, NINE)], service=ServiceAnswer("not_available", reason="status 500"))
    message = cost_message(report, NEVER_CHANGED, "run-1")
    assert message.severity == Severity.WARNING
    assert "not available: status 500" in message.body
    assert "lower limit" in message.chat


def test_tc_async_041_the_performance_mail_has_the_thresholds_and_the_days() -> None:
    message = the_performance()
    text = Page(message.html).text
    for words in ("47.9 %", "70 %", "55 %", "critical", "2025-11-21", "GPT-4 is asked"):
        assert words in text
    assert "Win rate by day: 57 %" in message.chat


def test_tc_async_050_too_few_trades_make_a_mail_without_a_picture_of_nothing() -> None:
    message = performance_message(analyse([], NOW), "run-1", trend_chart(analyse([], NOW).daily))
    assert message.images == ()
    assert "No trade closed on any of these days." in Page(message.html).text
    assert "not available" in message.body


def test_switching_on_and_refusing_are_said() -> None:
    on = SwitchState(True, "repaired", "ada (enable_gpt4/r)", NINE, 4, {"today_usd": 6.5, "month_usd": 20.0})
    assert "Approved by ada" in gpt4_on_message(on).body
    refused = gpt4_refused_message(OFF, "by bob", "run-2")
    assert "refused (by bob)" in refused.body
    assert refused.dedupe_key == "gpt4_refused:run-2"


def test_numbers_are_written_with_units_and_without_negative_zeros() -> None:
    assert (usdt(-0.001), usdt(None), usdt(1234.5)) == ("0.00 USDT", "n/a", "1,234.50 USDT")
    assert (usd(0.0123), usd(0.0), usd(70.2), usd(None)) == ("$0.0123", "$0.00", "$70.20", "n/a")
    assert (pct(-0.001), pct(5.428, 2, sign=True), pct(None)) == ("0.00 %", "+5.43 %", "n/a")
    assert (number(12345), number(None), when(None)) == ("12,345", "n/a", "n/a")
    assert when("2025-11-22T10:00:00+01:00") == "2025-11-22 09:00 UTC"
