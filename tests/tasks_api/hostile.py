"""Random parameter sets for every DAG, by a generator that knows by itself which of them are valid.

What is valid stands here a second time, written by hand from the specification: a mistake in the params models does
not become the tests' expectation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Draw = Callable[[random.Random], Any]

INJECTIONS = (
    "'; DROP TABLE dag_run; --",
    '{"$gt": ""}',
    "{{ conn.mongo_default.password }}",
    "$(touch pwned)",
    "`id`",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "%s%s%n",
    "\x00",
    "BTCUSDT\x00",
    "BTC\nUSDT",
    "\u202eTDSUCTB",
    "ＢＴＣＵＳＤＴ",
    "ßTCUSDT",
    "bıtusdt",
    "\ud800",
    "🚀" * 40,
    "x" * 100_000,
)
WRONG_TYPES: tuple[Any, ...] = (None, [], {}, [[]], {"$ne": None}, [None], {"a": {"b": [1, 2]}})
HUGE_NUMBERS: tuple[Any, ...] = (
    2**31, 2**63, 2**64, -(2**63), 10**400, -(10**400), 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One parameter: values that must be taken, and values that must be refused."""

    valid: Draw
    invalid: Draw


@dataclass(frozen=True)
class ParameterSet:
    """A set of parameters, and the names of those that must be refused (none: the set is valid)."""

    values: dict[str, Any]
    wrong: frozenset[str]


def one_of(*values: Any) -> Draw:
    return lambda rng: rng.choice(values)


def text_of(values: tuple[str, ...], *, any_case: bool = False) -> Rule:
    """A choice of words; surrounding blanks do not matter."""

    def spelled(rng: random.Random) -> str:
        word = rng.choice(values)
        return rng.choice((word, word.upper(), word.title(), f" {word} ")) if any_case else word

    return Rule(spelled, one_of("", " ", "none", 0, True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS))


def whole(low: int, high: int) -> Rule:
    return Rule(
        lambda rng: rng.choice((low, high, rng.randint(low, high))),
        one_of(
            low - 1, high + 1, low + 0.5, float(low), str(low), True, False, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS
        ),
    )


def number(low: float, high: float, *, low_open: bool, high_open: bool) -> Rule:
    edges = ([] if low_open else [low]) + ([] if high_open else [high])
    outside = [low - 1e-9, high + 1e-9] + ([low] if low_open else []) + ([high] if high_open else [])
    return Rule(
        lambda rng: rng.choice([*edges, (low + high) / 2, low + (high - low) * rng.uniform(0.001, 0.999)]),
        one_of(*outside, -1, str(high), True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS),
    )


def flag() -> Rule:
    return Rule(one_of(True, False), one_of(0, 1, "true", "yes", *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS))


def symbol() -> Rule:
    return Rule(
        one_of("BTCUSDT", "ethusdt", " SolUsdt ", "1000SATSUSDT", "ETHBTC"),
        one_of("", "BTC", "BTC-USDT", "BTC/USDT", "B" * 21, 5, True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS),
    )


def names_of(rules: Mapping[str, Rule]) -> list[str]:
    return list(rules)


def draw(rng: random.Random, rules: Mapping[str, Rule], required: tuple[str, ...]) -> ParameterSet:
    """Return a set with about one wrong parameter in two sets, several in some, and now and then an unknown key."""
    present = [name for name in rules if name in required or rng.random() < 0.6]
    wrong = {name for name in present if rng.random() < 0.7 / max(1, len(present))}
    values = {name: (rules[name].invalid if name in wrong else rules[name].valid)(rng) for name in present}
    if required and rng.random() < 0.05:
        left_out = rng.choice(required)
        del values[left_out]
        wrong = (wrong & set(values)) | {left_out}
    if rng.random() < 0.05:
        unknown = rng.choice(("__class__", "$where", "epoch", "conf", "dag_run", "x" * 5000, "\u202e"))
        values[unknown] = rng.choice((1, "x", None))
        wrong |= {unknown}
    return ParameterSet(values, frozenset(wrong))
