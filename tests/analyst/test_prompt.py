"""The question: the bundle's own numbers in it, identifiers and money not."""

from __future__ import annotations

import copy
import re

from include.analyst.accuracy import accuracy_histories
from include.analyst.answer import ANSWER_SCHEMA
from include.analyst.evidence import build_evidence
from include.analyst.prices import PRICES, worst_case_cost_usd
from include.analyst.prompt import build_messages, prompt_sha256, repair_messages, schema_sha256
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from tests.analyst.evidence_parts import POOR, evidence_of, market_of, score_rows
from tests.trading.engine_answers import NOW, week

PLANTED = {
    "id": "9f8e7d6c-PLANTED-TRADE",
    "user_id": "user-PLANTED-4711",
    "ai_signal_id": "signal-PLANTED",
    "account": "PLANTED-account",
    "balance": 98765.43,
    "equity": 87654.32,
}


def text_of(evidence: object) -> str:
    return "\n".join(message["content"] for message in build_messages(evidence))  # type: ignore[arg-type]


def test_prompt_has_the_specified_structure_and_the_bundles_own_numbers() -> None:
    evidence = evidence_of(POOR, {"lstm": [0.75, 0.72, 0.69], "gru": [0.71]}, drift=-0.0037, volume_factor=3.3)
    text = text_of(evidence)
    for part in (
        "PERFORMANCE TRENDS",
        "MODEL ACCURACY",
        "MARKET CONDITIONS",
        "THRESHOLDS",
        "QUESTION",
        "OUTPUT FORMAT",
    ):
        assert part in text
    assert f"7 days: {evidence.performance.metrics.win_rate:.1f}%" in text
    assert "(Target: 70%" in text
    assert "LSTM (BTCUSDT 1h): 75.0% → 72.0% → 69.0% (-6.0 points, baseline 70.0%, skill -1.0 points, 500 bars)" in text
    assert "24h Price Change: -8.5" in text
    assert "+230%" in text
    assert "model accuracy drops > 5 points in 7 days: ✅ met (LSTM on BTCUSDT 1h accuracy dropped 6.0 points" in text


def test_identifiers_sizes_balances_and_money_do_not_reach_the_prompt() -> None:
    rows = week(*POOR)
    for number, row in enumerate(rows):
        row.update({**PLANTED, "id": f"{PLANTED['id']}-{number}"})
        row["quantity"] = 7.654321
        row["entry_price"] = 54321.09
        row["pnl"] = row["pnl"] * 54321.09 * 7.654321 / (67000.5 * 0.003)
    performance = analyse(parse_trades(rows), NOW)
    scores = score_rows({"lstm": [0.75, 0.69]}, model_id="lstm-PLANTED-model", user_id=PLANTED["user_id"])
    text = text_of(build_evidence(performance, accuracy_histories(scores), [market_of()]))
    assert performance.metrics.total_pnl_usdt is not None
    amounts = [abs(performance.metrics.total_pnl_usdt), *(abs(row["pnl"]) for row in rows)]
    forbidden = [
        "PLANTED",
        "98765",
        "87654",
        "54321",
        "7.65",
        "7,65",
        *(f"{amount:.1f}" for amount in amounts if amount > 100),
    ]
    assert [secret for secret in forbidden if secret in text] == []
    assert not re.search(r"\d ?USDT|\$|balance|equity|position|trade_id|user", text)


def test_missing_figures_are_said_to_be_missing() -> None:
    text = text_of(build_evidence(analyse([], NOW), (), ()))
    assert "no scores yet" in text
    assert "n/a" in text
    assert "not available" in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_json_mode_needs_the_word_json() -> None:
    assert "JSON" in text_of(evidence_of(POOR))


def test_hash_names_the_exact_question_and_schema() -> None:
    messages = build_messages(evidence_of(POOR))
    assert prompt_sha256(messages) == prompt_sha256(build_messages(evidence_of(POOR)))
    assert len(prompt_sha256(messages)) == 64
    changed = copy.deepcopy(messages)
    changed[1]["content"] += " "
    assert prompt_sha256(changed) != prompt_sha256(messages)
    assert schema_sha256(ANSWER_SCHEMA) == schema_sha256(dict(reversed(ANSWER_SCHEMA.items())))


def test_repair_says_what_was_wrong() -> None:
    messages = build_messages(evidence_of(POOR))
    repaired = repair_messages(messages, "I think so", "it holds no JSON object")
    assert repaired[:2] == messages
    assert repaired[2] == {"role": "assistant", "content": "I think so"}
    assert "it holds no JSON object" in repaired[3]["content"]


def test_even_the_worst_case_of_the_dearest_model_costs_less_than_ten_cents() -> None:
    evidence = evidence_of(
        POOR, {kind: [0.75, 0.74, 0.73, 0.72, 0.71, 0.70, 0.69] for kind in ("lstm", "gru", "transformer")}
    )
    messages = build_messages(evidence)
    for model in PRICES:
        assert worst_case_cost_usd(model, messages, 1000, ANSWER_SCHEMA) < 0.10
