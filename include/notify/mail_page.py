"""The HTML form of a message that has none of its own."""

from __future__ import annotations

from html import escape

from include.notify.fit import printable
from include.notify.message import Message, Severity

COLOURS = {
    Severity.INFO: "#36a64f",
    Severity.WARNING: "#ff9900",
    Severity.ERROR: "#ff0000",
    Severity.CRITICAL: "#990000",
}
FONT = "font-family:Helvetica,Arial,sans-serif"


def mail_html(message: Message) -> str:
    """Return a page with the severity's colour, the text, the fields as a table and the images.

    All values are escaped; styles stand in the elements, since mail programs drop style sheets.
    """
    colour = COLOURS[message.severity]
    rows = "".join(
        f'<tr><th style="text-align:left;padding:4px 12px 4px 0;vertical-align:top">{_text(name)}</th>'
        f'<td style="padding:4px 0">{_text(value)}</td></tr>'
        for name, value in message.fields.items()
    )
    table = f'<table style="border-collapse:collapse;margin-top:12px">{rows}</table>' if rows else ""
    pictures = "".join(
        f'<p><img src="cid:{image.name}" alt="{_text(image.alt)}" style="max-width:100%"></p>'
        for image in message.images
    )
    return (
        f'<html><head><meta charset="utf-8"></head><body style="{FONT};color:#222222;margin:0;padding:16px">'
        f'<div style="border-left:6px solid {colour};padding:4px 16px;max-width:720px">'
        f'<p style="color:{colour};font-weight:bold;margin:0">{message.severity.upper()}</p>'
        f'<h2 style="margin:4px 0 12px">{_text(message.title)}</h2>'
        f'<p style="white-space:pre-wrap">{_text(message.body)}</p>{table}{pictures}'
        f'<p style="color:#777777;font-size:12px;margin-top:16px">{message.created_at:%Y-%m-%d %H:%M:%S} UTC, '
        "Trading Ops</p></div></body></html>"
    )


def _text(text: str) -> str:
    return escape(printable(text))
