"""Renders a report's three forms from its templates: HTML for mails, plain text, and a compact form for chats.

HTML templates escape every value; a template that names something that does not exist is an error, not a blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent / "templates"
NOT_AVAILABLE = "n/a"
SMALL_USD = 0.1


@dataclass(frozen=True)
class Rendered:
    """One report in its three forms."""

    html: str
    text: str
    chat: str


def render(name: str, values: Mapping[str, Any]) -> Rendered:
    """Render `{name}.html.j2`, `{name}.txt.j2` and `{name}.chat.j2` with the same values."""
    forms = {
        form: _environment(form == "html").get_template(f"{name}.{form}.j2").render(values)
        for form in ("html", "txt", "chat")
    }
    return Rendered(forms["html"].strip() + "\n", _tidy(forms["txt"]), _tidy(forms["chat"]))


def usdt(value: float | None) -> str:
    """Return an amount of USDT, for instance `10,542.75 USDT`."""
    return NOT_AVAILABLE if value is None else f"{_zero(value, 2):,.2f} USDT"


def usd(value: float | None) -> str:
    """Return an amount of USD; small ones with four decimals, for instance `$0.0123`."""
    if value is None:
        return NOT_AVAILABLE
    return f"${value:,.4f}" if 0 < abs(value) < SMALL_USD else f"${value:,.2f}"


def vnd(value: float | None) -> str:
    """Return an amount of dong, for instance `46,750 VND`."""
    return NOT_AVAILABLE if value is None else f"{value:,.0f} VND"


def pct(value: float | None, decimals: int = 2, sign: bool = False) -> str:
    """Return a percentage, for instance `68.09 %` or, with its sign, `+5.43 %`."""
    if value is None:
        return NOT_AVAILABLE
    return f"{_zero(value, decimals):{'+' if sign else ''}.{decimals}f} %"


def number(value: float | None, decimals: int = 0) -> str:
    """Return a plain number with thousands separated."""
    return NOT_AVAILABLE if value is None else f"{_zero(value, decimals):,.{decimals}f}"


def when(value: datetime | str | None) -> str:
    """Return a moment to the minute, in UTC."""
    if value is None:
        return NOT_AVAILABLE
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _zero(value: float, decimals: int) -> float:
    return 0.0 if round(value, decimals) == 0 else value  # no "-0.00"


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    kept = [line for position, line in enumerate(lines) if line or (position and lines[position - 1])]
    return "\n".join(kept)


@lru_cache(maxsize=2)
def _environment(is_html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=is_html,  # noqa: S701 - the other templates are plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usdt": usdt, "usd": usd, "vnd": vnd, "pct": pct, "number": number, "when": when}
    return environment
