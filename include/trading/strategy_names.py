"""The strategies' names: the specification's short ones, and the engine's own.

The engine writes `"RSI Strategy"`, the specification `rsi`. Everything in this bundle uses the short, lower-case name
(the *canonical* one); a name that neither list knows is kept as it is, never guessed.
"""

from __future__ import annotations

ENGINE_NAMES = {
    "rsi": "RSI Strategy",
    "macd": "MACD Strategy",
    "bollinger": "Bollinger Bands Strategy",
    "volume": "Volume Strategy",
    "stochastic": "Stochastic Strategy",
}
"""Canonical name -> the engine's name."""

STRATEGIES = tuple(ENGINE_NAMES)
"""The canonical names of the engine's five strategies."""

UNATTRIBUTED = "unattributed"
"""Where trades without a strategy name are counted. It is no strategy, and is never disabled."""

BOOK = "book"
"""All strategies together: what the blunt levers act on."""

RESERVED = (UNATTRIBUTED, BOOK)
"""Names that no strategy may have."""

_CANONICAL = {name.lower(): name for name in STRATEGIES} | {
    engine_name.lower(): name for name, engine_name in ENGINE_NAMES.items()
}


def canonical_name(name: str) -> str:
    """Return the short name of a known strategy; any other name as it is, without surrounding blanks.

    >>> canonical_name(" RSI strategy"), canonical_name("MACD"), canonical_name("My Grid v2")
    ('rsi', 'macd', 'My Grid v2')
    """
    stripped = name.strip()
    return _CANONICAL.get(stripped.lower(), stripped)


def engine_name(name: str) -> str:
    """Return the name that the shipped engine uses for a canonical one; an unknown name as it is.

    >>> engine_name("bollinger")
    'Bollinger Bands Strategy'
    """
    return ENGINE_NAMES.get(canonical_name(name), name.strip())
