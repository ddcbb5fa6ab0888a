"""What the bot's AI service says that it has spent: `GET /ai/cost/statistics`.

Its answer is bare JSON without an envelope. With the engine down it takes ten seconds, because it asks the engine
first. Later revisions of the service do not have the path and answer 404. None of this is a cost of 0.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx

from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError, TradingOpsError
from include.notify.scrub import excerpt

PATH = "/ai/cost/statistics"
MAX_ANSWER_BYTES = 1_000_000
COUNTS = ("total_requests", "total_input_tokens", "total_output_tokens")


class NoCostStatisticsError(TradingOpsError):
    """This revision of the AI service does not have the path; trying again cannot help."""


@dataclass(frozen=True)
class CostStatistics:
    """Counters since the start of the service's process, in its memory; the money in USD with four decimals.

    `daily_projection_usd` is what a day would cost if every tracked symbol were analysed every interval: hypothetical,
    shown and never judged.
    """

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    model: str
    daily_projection_usd: float | None


def read_cost_statistics(base_url: str, timeout_s: float) -> CostStatistics:
    """Ask the AI service once; the whole answer takes at most about `timeout_s`.

    :raises NoCostStatisticsError: when it answers 404.
    :raises ServiceUnavailableError: when it cannot be reached, is too slow, limits the rate, or answers another status.
    :raises MalformedAnswerError: for anything that is not the documented JSON, or holds a number that is none.
    :raises BadInputError: for an address that is none.
    """
    try:
        base = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise BadInputError(f"the AI service's base address {base_url!r} is not a URL: {error}") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise BadInputError(f"the AI service's base address must be http(s)://host[:port], not {base_url!r}")
    what = f"AI service GET {PATH} at {base.host}{f':{base.port}' if base.port else ''}"
    url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + PATH.encode())
    status, content_type, body = _get(what, url, timeout_s)
    if status == httpx.codes.NOT_FOUND:
        raise NoCostStatisticsError(f"{what} answered 404: this revision of the AI service has no cost statistics")
    if not 200 <= status < 300:
        raise ServiceUnavailableError(f"{what} answered status {status}: {_excerpt(body)}")
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise MalformedAnswerError(
            f"{what} answered {content_type or 'no content type'} instead of JSON: {_excerpt(body)}"
        )
    return parse_cost_statistics(_load(what, body), what)


def parse_cost_statistics(answer: object, what: str) -> CostStatistics:
    """Return the statistics that a decoded answer holds.

    :raises MalformedAnswerError: naming the missing or wrong field.
    """
    session = answer.get("session_statistics") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(session, dict):
        raise MalformedAnswerError(f"{what} answered without `session_statistics`: {answer!r:.200}")
    requests, input_tokens, output_tokens = (_count(session, name, what) for name in COUNTS)
    projections, configuration = (_part(answer, name) for name in ("projections", "configuration"))
    projection = projections.get("estimated_daily_cost_usd")
    return CostStatistics(
        requests=requests,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=_amount(session, "total_cost_usd", what),
        model=str(configuration.get("model") or "unknown")[:100],
        daily_projection_usd=None if projection is None else _amount(projections, "estimated_daily_cost_usd", what),
    )


def _get(what: str, url: httpx.URL, timeout_s: float) -> tuple[int, str, bytes]:
    deadline = time.monotonic() + timeout_s
    try:
        with httpx.stream("GET", url, timeout=timeout_s, headers={"Accept": "application/json"}) as answer:
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise ServiceUnavailableError(f"{what} did not finish its answer in {timeout_s:g} s")
                if len(body) > MAX_ANSWER_BYTES:
                    raise MalformedAnswerError(f"{what} answered more than {MAX_ANSWER_BYTES} bytes")
            return answer.status_code, answer.headers.get("content-type", ""), bytes(body)
    except httpx.TimeoutException:
        raise ServiceUnavailableError(
            f"{what} did not answer in {timeout_s:g} s (it asks the engine first: is the engine down?)"
        ) from None
    except httpx.DecodingError as error:
        raise MalformedAnswerError(f"{what} answered a body that cannot be decoded: {error}") from None
    except httpx.HTTPError as error:
        raise ServiceUnavailableError(f"{what} cannot be reached ({error}); is it running?") from None


def _load(what: str, body: bytes) -> object:
    def refuse_constant(name: str) -> NoReturn:
        raise MalformedAnswerError(f"{what} answered JSON that holds the number {name}")

    try:
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"{what} answered broken JSON ({error}): {_excerpt(body)}") from None


def _part(answer: dict[str, Any], name: str) -> dict[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, dict) else {}


def _count(session: dict[str, Any], name: str, what: str) -> int:
    value = _amount(session, name, what)
    if value != int(value):
        raise MalformedAnswerError(f"{what} answered {name} {value!r}, which is not a count")
    return int(value)


def _amount(part: dict[str, Any], name: str, what: str) -> float:
    value = part.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12 or math.isnan(value):
        raise MalformedAnswerError(f"{what} answered {name} {value!r:.60}, which is not a number of 0 or more")
    return float(value)


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:800].decode("utf-8", "replace").split())
    return repr(excerpt(text)) if text else "(an empty body)"
