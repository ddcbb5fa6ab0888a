"""What a failed request to the AI endpoint means: whose fault, whether to try again, whether it was billed.

The endpoint's own texts are not repeated for 401 and 403: they may quote a part of the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import openai

from include.analyst.errors import JudgeUnavailableError
from include.errors import ConfigurationError, TradingOpsError
from include.notify.scrub import scrub

if TYPE_CHECKING:
    from include.settings import Settings

HARMLESS_4XX = frozenset({408, 409, 425, 429})
"""Client errors that pass by themselves."""

MAX_RETRY_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class Failure:
    """The error to raise, and whether the request can have been billed."""

    error: TradingOpsError
    billed: Literal["no", "perhaps"]


def describe_failure(error: openai.OpenAIError | ValueError, settings: Settings) -> Failure:
    """Translate the client's exception; the key appears in no message."""
    where = f"the AI endpoint ({settings.openai_model})"
    if isinstance(error, openai.APIStatusError):
        return Failure(_refused(error, where, settings), "no")
    if isinstance(error, openai.APITimeoutError):
        never_sent = _cause_name(error) in ("ConnectTimeout", "PoolTimeout")
        text = f"{where} did not answer in {settings.openai_timeout_s:g} s"
        return Failure(JudgeUnavailableError(text), "no" if never_sent else "perhaps")
    if isinstance(error, openai.APIConnectionError):
        never_sent = _cause_name(error) == "ConnectError"
        return Failure(
            JudgeUnavailableError(
                f"{where} cannot be reached ({_cause_name(error)}); check TRADING_OPS_OPENAI_BASE_URL"
            ),
            "no" if never_sent else "perhaps",
        )
    text = f"{where} answered something that is no chat completion ({type(error).__name__})"
    return Failure(JudgeUnavailableError(text), "perhaps")


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header (seconds or an HTTP date) asks for, at most a day."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if seconds == seconds else None


def _refused(error: openai.APIStatusError, where: str, settings: Settings) -> TradingOpsError:
    status = error.status_code
    if status in (401, 403):
        return ConfigurationError(
            f"{where} refused the key with status {status}: set a valid OPENAI_API_KEY with access to this model"
        )
    text = _message(error, settings)
    if status == 429 and error.code == "insufficient_quota":
        return ConfigurationError(f"{where} says that the account has no credit left: top it up ({text})")
    if status in HARMLESS_4XX or status >= 500 or status < 400:
        wait = retry_after_s(error.response.headers.get("retry-after"), datetime.now(UTC))
        asked = f"; it asks to wait {wait:g} s" if wait is not None else ""
        return JudgeUnavailableError(f"{where} answered status {status}: {text}{asked}", wait)
    hint = "the model or the path is unknown there; check TRADING_OPS_OPENAI_MODEL and TRADING_OPS_OPENAI_BASE_URL"
    return ConfigurationError(
        f"{where} refused the request with status {status}: {text}" + (f"; {hint}" if status == 404 else "")
    )


def _message(error: openai.APIStatusError, settings: Settings) -> str:
    text = " ".join(error.message.split()) or "no explanation"
    if settings.openai_api_key and settings.openai_api_key.get_secret_value():
        text = text.replace(settings.openai_api_key.get_secret_value(), "***")
    return scrub(text)[:300]  # cut last: half a secret is not recognised


def _cause_name(error: BaseException) -> str:
    return type(error.__cause__).__name__ if error.__cause__ else type(error).__name__
