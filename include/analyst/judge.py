"""Asks GPT-4, through OpenAI's official client, for one verdict.

Every request is reserved in the cost ledger first and settled afterwards. The client's own hidden
retries are off. A malformed answer gets one repair attempt; a second one is an error that keeps both texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import openai
from openai.types.chat import ChatCompletion

from include.analyst.answer import ANSWER_SCHEMA, Answer, parse_answer
from include.analyst.errors import AnswerError, CallRefusedError, JudgeUnavailableError
from include.analyst.judge_failures import Failure, describe_failure
from include.analyst.ledger import Reservation, Usage
from include.analyst.prices import price_of, worst_case_cost_usd
from include.analyst.prompt import prompt_sha256, repair_messages, schema_sha256
from include.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from include.analyst.ledger import CostLedger
    from include.settings import Settings

log = logging.getLogger(__name__)

TEMPERATURE = 0.3
PURPOSE = "gpt4_self_analysis"


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it took to get it. `usage` and `cost_usd` are sums over `requests` requests."""

    answer: Answer
    raw: str
    usage: Usage
    cost_usd: float
    model: str
    prompt_sha256: str
    schema_sha256: str
    requests: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form, for the way from task to task."""
        return {**asdict(self), "answer": self.answer.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Judgement:
        """Read the form of :meth:`to_dict`."""
        answer, usage = Answer.model_validate(stored["answer"]), Usage(**stored["usage"])
        return cls(**{**stored, "answer": answer, "usage": usage})


def worst_case_usd(settings: Settings, messages: Sequence[dict[str, str]]) -> float:
    """Return what the first request may cost, for a look at the budget before :func:`ask`.

    :raises ConfigurationError: for a model without a price.
    """
    return worst_case_cost_usd(settings.openai_model, messages, settings.openai_max_output_tokens, ANSWER_SCHEMA)


def ask(
    settings: Settings,
    messages: Sequence[dict[str, str]],
    ledger: CostLedger,
    task_id: str,
    *,
    purpose: str = PURPOSE,
    try_number: int = 1,
) -> Judgement:
    """Ask for a verdict; send at most two requests.

    :param messages: from `include.analyst.prompt.build_messages`.
    :param task_id: the run that pays, as the ledger's rows name it.
    :raises ConfigurationError: no key, a model without a price, a key or model that the endpoint
        refuses, an account without credit. The key itself is in no message.
    :raises Gpt4SwitchedOffError, BudgetExceededError, RateLimitReachedError: when GPT-4 is switched off, or our own
        limits forbid the first request.
    :raises JudgeUnavailableError: time-out, 429, server error, an answer that is no chat completion (transient;
        carries `retry_after_s`).
    :raises AnswerError: the answer is unusable even after the repair attempt, or was refused.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away: without the ledger nothing is sent.
    """
    conversation = _Conversation(settings, ledger, task_id, purpose, try_number)
    asked = list(messages)
    try:
        try:
            raw, answer = conversation.answer(asked)
        except AnswerError as first:
            if first.kind == "refused":
                raise
            log.warning("%s; one repair attempt. The answer was: %r", first, first.raw_answers)
            raw, answer = conversation.repair(asked, first)
    except AnswerError as error:
        error.requests, error.cost_usd = conversation.requests, conversation.cost_usd
        raise
    return Judgement(
        answer=answer,
        raw=raw,
        usage=Usage(conversation.prompt_tokens, conversation.completion_tokens),
        cost_usd=conversation.cost_usd,
        model=settings.openai_model,
        prompt_sha256=prompt_sha256(asked),
        schema_sha256=schema_sha256(ANSWER_SCHEMA),
        requests=conversation.requests,
    )


class _Conversation:
    def __init__(self, settings: Settings, ledger: CostLedger, task_id: str, purpose: str, try_number: int) -> None:
        key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
        if not key:
            raise ConfigurationError(
                "OPENAI_API_KEY is not configured, so GPT-4 cannot be asked; set it for the workers"
            )
        self._price = price_of(settings.openai_model)
        self._settings = settings
        self._ledger = ledger
        self._task_id = task_id
        self._purpose = purpose
        self._try_number = try_number
        self._client = openai.OpenAI(
            api_key=key, base_url=settings.openai_base_url, timeout=settings.openai_timeout_s, max_retries=0
        )
        self.requests = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd = 0.0

    def answer(self, messages: list[dict[str, str]], purpose_suffix: str = "") -> tuple[str, Answer]:
        raw = self._request(messages, purpose_suffix)
        return raw, parse_answer(raw)

    def repair(self, messages: list[dict[str, str]], first: AnswerError) -> tuple[str, Answer]:
        try:
            return self.answer(repair_messages(messages, first.raw_answers[0], first.problem), ":repair")
        except AnswerError as second:
            raws = (*first.raw_answers, *second.raw_answers)
            raise AnswerError(
                second.kind, f"{second.problem} (before the repair attempt: {first.problem})", raws
            ) from None
        except CallRefusedError as refused:
            raise AnswerError(
                first.kind, f"{first.problem}; no repair attempt could be made: {refused}", first.raw_answers
            ) from refused

    def _request(self, messages: list[dict[str, str]], purpose_suffix: str) -> str:
        settings = self._settings
        worst = worst_case_cost_usd(settings.openai_model, messages, settings.openai_max_output_tokens, ANSWER_SCHEMA)
        reservation = self._ledger.reserve(
            self._task_id, self._purpose + purpose_suffix, settings.openai_model, worst, self._try_number
        )
        self.requests += 1
        try:
            completion = self._client.chat.completions.create(
                model=settings.openai_model,
                messages=messages,  # type: ignore[arg-type]
                temperature=TEMPERATURE,
                max_tokens=settings.openai_max_output_tokens,
                response_format=self._response_format(),
            )
        except (openai.OpenAIError, ValueError) as error:  # a body that is not JSON escapes as a ValueError
            self._fail(reservation, describe_failure(error, settings))
        usage = _usage(completion)
        if usage is None:
            # Answered, but not saying what it has billed: the worst case stays.
            self.cost_usd += reservation.worst_case_nano / 1e9
            self._book(lambda: self._ledger.keep(reservation, "answered without usage"))
        else:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
            self.cost_usd += self._price.nano_usd(usage.prompt_tokens, usage.completion_tokens) / 1e9
            self._book(lambda: self._ledger.settle(reservation, usage))
        return _text(completion)

    def _response_format(self) -> Any:
        if not self._price.schema_bound:
            return {"type": "json_object"}
        schema = {"name": "retraining_verdict", "strict": True, "schema": ANSWER_SCHEMA}
        return {"type": "json_schema", "json_schema": schema}

    def _fail(self, reservation: Reservation, failure: Failure) -> None:
        if failure.billed == "no":
            self._book(lambda: self._ledger.release(reservation, str(failure.error)))
        else:
            self._book(lambda: self._ledger.keep(reservation, str(failure.error)))
        raise failure.error from None

    def _book(self, write: Callable[[], object]) -> None:
        """Settle after the fact. If MongoDB is gone by then, the worst case stays booked and the verdict is kept."""
        try:
            write()
        except TransientError as error:
            log.warning("%s", error)


def _usage(completion: object) -> Usage | None:
    usage = getattr(completion, "usage", None)
    prompt, answer = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    counts = [
        count for count in (prompt, answer) if isinstance(count, int) and not isinstance(count, bool) and count >= 0
    ]
    return Usage(counts[0], counts[1]) if len(counts) == 2 and sum(counts) > 0 else None


def _text(completion: object) -> str:
    """Return the first choice's text; what is wrong with it is an error of its own kind."""
    choices = getattr(completion, "choices", None)
    if not isinstance(completion, ChatCompletion) or not isinstance(choices, list) or not choices:
        raise JudgeUnavailableError(
            f"the AI endpoint answered something that is no chat completion: {str(completion)[:200]!r}; "
            "check TRADING_OPS_OPENAI_BASE_URL"
        )
    choice = choices[0]
    message = getattr(choice, "message", None)
    refusal = getattr(message, "refusal", None)
    content = getattr(message, "content", None)
    text = content if isinstance(content, str) else ""
    if refusal or choice.finish_reason == "content_filter":
        raise AnswerError("refused", f"the model refused to answer: {refusal or 'content filter'!s:.300}", text)
    if choice.finish_reason == "length":
        raise AnswerError("cut_off", "it was cut off at the token limit; be shorter", text)
    return text
