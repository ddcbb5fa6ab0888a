"""Reading the judge's answer: what is tolerated, and what is an error of which kind."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.analyst.accuracy import MODEL_TYPES
from include.analyst.answer import ANSWER_SCHEMA, Answer, parse_answer
from include.analyst.errors import AnswerError
from include.analyst.recommendation import read_recommendation
from tests.analyst.openai_answers import VERDICT, verdict


def error_of(raw: str) -> AnswerError:
    with pytest.raises(AnswerError) as caught:
        parse_answer(raw)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        verdict(),
        f"```json\n{verdict()}\n```",
        f"```\n{verdict()}\n```",
        f"Here is my verdict:\n\n{verdict()}\n\nI hope that {{helps}}!",
        f"Think {{first}}: [] {verdict()}",
        f'An example would be {{"a": 1}}, but I say {verdict()}',
        f"{verdict()}\n{verdict()}",
        "\ufeff" + verdict(),
    ],
)
def test_code_fences_and_prose_around_the_json_are_tolerated(raw: str) -> None:
    answer = parse_answer(raw)
    assert answer.recommendation == "retrain"
    assert answer.model_types == MODEL_TYPES


@pytest.mark.parametrize(
    ("word", "recommendation", "types"),
    [
        ("NO_RETRAINING", "wait", ()),
        ("wait", "wait", ()),
        ("RETRAIN_LSTM", "retrain", ("lstm",)),
        ("RETRAIN_GRU", "retrain", ("gru",)),
        ("RETRAIN_TRANSFORMER", "retrain", ("transformer",)),
        ("retrain lstm and gru", "retrain", ("lstm", "gru")),
        ("RETRAIN_GRU_LSTM", "retrain", ("lstm", "gru")),
        ("RETRAIN_ALL", "retrain", MODEL_TYPES),
        ("Retrain", "retrain", MODEL_TYPES),
        ("OPTIMIZE_PARAMETERS", "optimize_parameters", ()),
        ("optimise-parameters", "optimize_parameters", ()),
    ],
)
def test_other_words_are_understood_and_kept(word: str, recommendation: str, types: tuple[str, ...]) -> None:
    answer = parse_answer(verdict(recommendation=word, model_types=..., suggested_actions=[]))
    assert (answer.recommendation, answer.model_types, answer.recommendation_raw) == (recommendation, types, word)


@pytest.mark.parametrize("word", ["RETRAIN_CNN", "MAYBE", "", "RETRAIN_", "RETRAIN_LSTM_OR_NOT", "UNRETRAIN"])
def test_unknown_words_are_not_guessed(word: str) -> None:
    assert read_recommendation(word) is None
    assert error_of(verdict(recommendation=word or "?")).kind == "invalid"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("This is not valid JSON", "not_json"),
        (verdict()[:-1], "not_json"),
        ('{"recommendation": "wait",}', "not_json"),
        ('["retrain"]', "not_json"),
        ("{" * 5000, "not_json"),
        ('{"verdict": "wait"}', "missing"),
        ('{"recommendation": "wait"}', "missing"),
        (verdict(confidence=...), "missing"),
        (verdict(urgency=None), "missing"),
        (verdict(confidence=float("nan")), "invalid"),
        (verdict(confidence=float("inf")), "invalid"),
        (verdict(expected_gain=float("nan")), "invalid"),
        (verdict(confidence=1.01), "invalid"),
        (verdict(confidence=85), "invalid"),
        (verdict(confidence=-0.1), "invalid"),
        (verdict(confidence="0.85"), "invalid"),
        (verdict(confidence=True), "invalid"),
        (verdict(urgency="extreme"), "invalid"),
        (verdict(recommendation=3), "invalid"),
        (verdict(model_types=["lstm", "cnn"]), "invalid"),
        (verdict(model_types=[["lstm"]]), "invalid"),
        (verdict(model_types={"lstm": True}), "invalid"),
        (verdict(reasoning=5), "invalid"),
        (verdict(suggested_actions="retrain"), "invalid"),
        ('{"recommendation": "wait", "recommendation": "retrain", "confidence": 0.9, "urgency": "high"}', "invalid"),
        (verdict() + verdict(recommendation="wait", suggested_actions=[]), "contradictory"),
        (verdict(recommendation="RETRAIN_LSTM", model_types=["gru"]), "contradictory"),
        (verdict(recommendation="RETRAIN_LSTM", model_types=["lstm", "gru"]), "contradictory"),
        (verdict(recommendation="RETRAIN_ALL", model_types=["lstm"]), "contradictory"),
        (verdict(model_types=[]), "contradictory"),
        (verdict(recommendation="wait", suggested_actions=["Retrain all models immediately"]), "contradictory"),
        (verdict(reasoning="All is well, no retraining is needed."), "contradictory"),
        (verdict(suggested_actions=["Do not retrain the models"]), "contradictory"),
    ],
)
def test_unusable_answers_are_errors_of_their_kind_and_keep_the_raw_text(raw: str, kind: str) -> None:
    error = error_of(raw)
    assert error.kind == kind
    assert error.raw_answers[0].startswith(raw[:1000])


@pytest.mark.parametrize(
    "action",
    [
        "Monitor performance for 3 more days",
        "Consider parameter tuning instead of full retrain",
        "Retrain only if the win rate stays below 55%",
        "Retrain in 3 days if nothing improves",
    ],
)
def test_waiting_with_conditional_advice_is_no_contradiction(action: str) -> None:
    reasoning = "Recommend waiting 3 more days before retraining."
    answer = parse_answer(verdict(recommendation="wait", suggested_actions=[action], reasoning=reasoning))
    assert answer.recommendation == "wait"


def test_a_wait_that_is_not_sure_may_think_aloud() -> None:
    assert parse_answer(verdict(recommendation="wait", confidence=0.4)).recommendation == "wait"


def test_sparing_one_model_is_no_contradiction() -> None:
    raw = verdict(model_types=["lstm"], reasoning="LSTM decayed. We should not retrain the transformer.")
    assert parse_answer(raw).model_types == ("lstm",)


def test_model_types_of_a_wait_are_dropped() -> None:
    assert parse_answer(verdict(recommendation="wait", suggested_actions=[])).model_types == ()


def test_optional_texts_may_be_missing() -> None:
    answer = parse_answer('{"recommendation": "retrain", "confidence": 0.85, "urgency": "HIGH", "mood": "calm"}')
    assert answer.model_types == MODEL_TYPES
    assert (answer.reasoning, answer.suggested_actions, answer.urgency) == ("", (), "high")


def test_endless_texts_are_cut() -> None:
    answer = parse_answer(verdict(reasoning="x" * 10_000, suggested_actions=["y" * 1000] * 50))
    assert len(answer.reasoning) == 4000
    assert len(answer.suggested_actions) == 10
    error = error_of("z" * 10_000)
    assert len(error.raw_answers[0]) < 4100


def test_schema_and_model_name_the_same_fields_and_the_schema_is_strict() -> None:
    assert set(ANSWER_SCHEMA["properties"]) == set(Answer.model_fields) - {"recommendation_raw"}
    assert sorted(ANSWER_SCHEMA["required"]) == sorted(ANSWER_SCHEMA["properties"])
    assert ANSWER_SCHEMA["additionalProperties"] is False
    assert set(VERDICT) == set(ANSWER_SCHEMA["properties"])


def test_error_survives_the_way_from_task_to_task() -> None:
    error = error_of(verdict(confidence=7))
    error.requests, error.cost_usd = 2, 0.0123
    again = AnswerError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert (again.kind, str(again), again.raw_answers, again.requests, again.cost_usd) == (
        error.kind, str(error), error.raw_answers, 2, 0.0123,
    )  # fmt: skip


@given(st.text(max_size=300))
def test_no_text_escapes_the_reader(raw: str) -> None:
    for text in (raw, verdict()[:20] + raw, raw + '{"recommendation": ' + raw):
        with suppress(AnswerError):
            assert parse_answer(text).urgency


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(VERDICT)), JSON))
def test_whatever_is_accepted_can_be_acted_on(changes: dict[str, object]) -> None:
    try:
        answer = parse_answer(verdict(**changes))
    except AnswerError:
        return
    assert 0 <= answer.confidence <= 1
    assert bool(answer.model_types) == (answer.recommendation == "retrain")
