"""The judge's answer: its schema, and the strict reading of whatever came instead."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from include.analyst.accuracy import MODEL_TYPES, ModelType
from include.analyst.contradictions import contradiction
from include.analyst.errors import AnswerError
from include.analyst.json_extraction import extract_object
from include.analyst.recommendation import Recommendation, read_recommendation

MAX_REASONING_CHARS = 4000
MAX_ACTIONS = 10
MAX_ACTION_CHARS = 500

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "reasoning",
        "recommendation",
        "model_types",
        "confidence",
        "urgency",
        "suggested_actions",
        "estimated_improvement",
    ],
    "properties": {
        "reasoning": {"type": "string", "description": "Detailed explanation of the decision."},
        "recommendation": {"type": "string", "enum": ["retrain", "wait", "optimize_parameters"]},
        "model_types": {
            "type": "array",
            "items": {"type": "string", "enum": list(MODEL_TYPES)},
            "description": "The models to retrain; empty unless recommendation is retrain.",
        },
        "confidence": {"type": "number", "description": "From 0.0 to 1.0."},
        "urgency": {"type": "string", "enum": ["low", "medium", "high"]},
        "suggested_actions": {"type": "array", "items": {"type": "string"}},
        "estimated_improvement": {"type": "string"},
    },
}
"""For OpenAI's strict `response_format`: every property required, nothing additional. The reasoning comes first so
that it is written before the verdict. Ranges are checked on arrival: the strict form of older snapshots has no
`minimum` and `maximum`."""


class Answer(BaseModel):
    """A verdict that can be acted on.

    `recommendation` is normalised, `recommendation_raw` is the judge's own word. `model_types` is empty
    unless the recommendation is to retrain. `confidence` is a share from 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    recommendation: Recommendation
    recommendation_raw: str
    model_types: tuple[ModelType, ...] = Field(strict=False)
    confidence: float = Field(ge=0, le=1)
    urgency: Literal["low", "medium", "high"]
    reasoning: str = ""
    suggested_actions: tuple[str, ...] = Field(default=(), strict=False)
    estimated_improvement: str = ""

    @field_validator("urgency", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("reasoning", "estimated_improvement")
    @classmethod
    def _cut(cls, value: str) -> str:
        return value[:MAX_REASONING_CHARS]

    @field_validator("suggested_actions")
    @classmethod
    def _cut_actions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(action[:MAX_ACTION_CHARS] for action in value[:MAX_ACTIONS])


def parse_answer(raw: str) -> Answer:
    """Return the verdict in the judge's text; code fences and prose around the JSON are tolerated.

    Required are `recommendation`, `confidence` and `urgency`. A recommendation to retrain without
    `model_types` (the specification's own format has none) means all three.

    :raises AnswerError: `empty`, `not_json`, `missing`, `invalid` (NaN, out of range, unknown word) or
        `contradictory`, with the raw text.
    """
    if not raw.strip():
        raise AnswerError("empty", "it is empty", raw)
    found = extract_object(raw)
    missing = [key for key in ("recommendation", "confidence", "urgency") if found.get(key) is None]
    if missing:
        raise AnswerError("missing", f"it lacks {', '.join(missing)}", raw)
    word = found["recommendation"]
    reading = read_recommendation(word) if isinstance(word, str) else None
    if reading is None:
        raise AnswerError(
            "invalid", f"the recommendation {word!r:.80} is none of retrain, wait, optimize_parameters", raw
        )
    recommendation, named = reading
    listed = _listed_types(found.get("model_types"), raw)
    try:
        answer = Answer.model_validate(
            {
                **{key: value for key, value in found.items() if value is not None},
                "recommendation": recommendation,
                "recommendation_raw": word,
                "model_types": _types(recommendation, named, listed),
            }
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)[:5])
        raise AnswerError("invalid", problems, raw) from None
    conflict = contradiction(
        answer.recommendation, named, listed, answer.confidence, answer.suggested_actions, answer.reasoning
    )
    if conflict:
        raise AnswerError("contradictory", conflict, raw)
    return answer


def _types(
    recommendation: Recommendation, named: tuple[ModelType, ...], listed: tuple[ModelType, ...] | None
) -> tuple[ModelType, ...]:
    if recommendation != "retrain":
        return ()
    return named or (MODEL_TYPES if listed is None else listed)


def _listed_types(value: object, raw: str) -> tuple[ModelType, ...] | None:
    if value is None:
        return None
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        raise AnswerError("invalid", f"model_types {value!r:.80} is not a list", raw)
    lowered = {
        word.strip().lower() if isinstance(word, str) else word for word in words if not isinstance(word, list | dict)
    }
    unknown = [word for word in words if isinstance(word, list | dict)] + sorted(map(str, lowered - set(MODEL_TYPES)))
    if unknown:
        raise AnswerError("invalid", f"model_types names {unknown[0]!r:.80}, known are {', '.join(MODEL_TYPES)}", raw)
    return tuple(kind for kind in MODEL_TYPES if kind in lowered)
