"""How the bot fared: weekly patterns of trade outcomes, repeated for ever.

A pattern is a list of trades spread over seven days, repeated week after week. Whatever the moment, the
last seven days then hold each trade of the pattern exactly once, so that win rate and average profit of
"the last 7 days" are exactly the pattern's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

WEEK_S = 7 * 86_400


@dataclass(frozen=True)
class Slot:
    """One trade of a pattern: when in the week it closes (seconds), and its return in percent of the notional."""

    closes_s: float
    return_pct: float


@dataclass(frozen=True)
class Pattern:
    """A week of trades."""

    name: str
    slots: tuple[Slot, ...]


def make_pattern(name: str, wins: list[float], losses: list[float], seed: int) -> Pattern:
    """Return a pattern with these returns (percent), evenly interleaved over the week.

    Wins and losses are spread so that each day gets its share of both, with seeded jitter.
    """
    chance = random.Random(f"{name}/{seed}")
    wins, losses = list(wins), list(losses)
    chance.shuffle(wins)
    chance.shuffle(losses)
    total = len(wins) + len(losses)
    order: list[float] = []
    won = 0
    for position in range(1, total + 1):
        if won < round(position * len(wins) / total):
            order.append(wins[won])
            won += 1
        else:
            order.append(losses[position - 1 - won])
    step = WEEK_S / max(1, total)
    slots = (Slot((at + 0.5 + chance.uniform(-0.3, 0.3)) * step, value) for at, value in enumerate(order))
    return Pattern(name, tuple(slots))


def _spread(mean: float, count: int, width: float) -> list[float]:
    """Return `count` values around a mean, evenly from `mean - width` to `mean + width`: their mean is exact."""
    if count == 1:
        return [mean]
    return [round(mean - width + 2 * width * i / (count - 1), 4) for i in range(count)]


def scenario(name: str, seed: int = 7) -> Pattern:
    """Return a named pattern.

    - `good`: 25 trades a week, 72 % won, 2.8 % on average, Sharpe ratio far above 2.3
    - `losing`: 25 trades a week, 52 % won, -0.3 % on average, Sharpe ratio below 0
    - `mediocre`: 20 trades a week, 60 % won, 1.9 % on average: below the targets, nothing critical
    - `few`: 6 trades a week, too few to be judged
    - `none`: no trades at all

    :raises KeyError: for any other name.
    """
    wins, losses = {
        "good": (_spread(4.7, 18, 1.6), _spread(-2.1, 7, 0.8)),
        "losing": (_spread(1.1, 13, 0.6), _spread(-1.8, 12, 0.7)),
        "mediocre": (_spread(4.2, 12, 1.5), _spread(-1.55, 8, 0.6)),
        "few": (_spread(2.0, 3, 0.5), _spread(-1.5, 3, 0.5)),
        "none": ([], []),
    }[name]
    return make_pattern(name, wins, losses, seed)


SCENARIOS = ("good", "losing", "mediocre", "few", "none")
