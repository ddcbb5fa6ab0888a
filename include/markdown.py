"""Other people's words inside a Markdown page, such as the case that an approver reads."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_\[\]<>|~#!&])")


def inline(text: object) -> str:
    """Return words on one line in which nothing is a mark: no link, no picture, no line that passes for the page's own.

    >>> inline("fixed\\n\\n**Approve** [me](http://x)")
    'fixed \\\\*\\\\*Approve\\\\*\\\\* \\\\[me\\\\](http://x)'
    """
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))
