"""A stored page as an answer over HTTP: what it may do in the reader's browser, and what is said without it.

A page holds scripts of its own. It is shut into a sandbox without an origin: it can draw, but neither read Airflow's
cookies nor ask Airflow (or anybody else) for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from include.errors import IntegrityError, TransientError
from include.strategies.reports import HTML, Report

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "sandbox allow-scripts allow-downloads",
        "default-src 'none'",
        # Bokeh's code stands in the page, and it makes functions of the texts of its callbacks.
        "script-src 'unsafe-inline' 'unsafe-eval'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
NEVER_KEPT = {"Cache-Control": "no-store"}
ASKED_EACH_TIME = {"Cache-Control": "private, no-cache"}


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def report_answer(load: Callable[[], Report | None], *, accept_encoding: str = "", if_none_match: str = "") -> Answer:
    """Return the page that `load` finds as an answer: 200 or 304, 404 without one, 503 while MongoDB is away.

    :param accept_encoding, if_none_match: the request's headers.
    """
    try:
        report = load()
        if report is None:
            return _refusal(404, "There is no such page: the run has not made it, or it is older than it is kept.")
        headers = {**ALWAYS, **ASKED_EACH_TIME, "ETag": f'"{report.sha256}"', "Vary": "Accept-Encoding, Cookie"}
        if headers["ETag"] in if_none_match:
            return Answer(304, headers, b"")
        headers["Content-Type"] = report.content_type
        if report.content_type != HTML:
            headers["Content-Disposition"] = f'attachment; filename="{report.name}"'
        plain = report.plain()
    except TransientError as error:
        return _refusal(503, str(error))
    except IntegrityError as error:
        return _refusal(500, str(error))
    if "gzip" in accept_encoding.lower():
        return Answer(200, {**headers, "Content-Encoding": "gzip"}, report.content)
    return Answer(200, headers, plain)


def _refusal(status: int, text: str) -> Answer:
    headers = {**ALWAYS, **NEVER_KEPT, "Content-Type": "text/plain; charset=utf-8"}
    return Answer(status, headers, f"{text}\n".encode())
