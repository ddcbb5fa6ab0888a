"""Finds the one JSON object in a language model's text."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from include.analyst.errors import AnswerError

KEY = "recommendation"


def extract_object(raw: str) -> dict[str, Any]:
    """Return the JSON object with a `recommendation`, wherever in the text it stands.

    :raises AnswerError: `not_json` when there is none; `invalid` for NaN, infinity or a key that comes
        twice with different values; `contradictory` for two such objects that differ.
    """

    def refuse_constant(name: str) -> NoReturn:
        raise AnswerError("invalid", f"it holds the number {name}", raw)

    def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found and found[key] != value:
                raise AnswerError("invalid", f"the key {key!r:.60} comes twice with different values", raw)
            found[key] = value
        return found

    decoder = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=unique_keys)
    objects: list[dict[str, Any]] = []
    broken = False
    at = raw.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(raw, at)
        except (json.JSONDecodeError, RecursionError):
            end, broken = at + 1, True
        else:
            objects.append(value)
        at = raw.find("{", end)
    verdicts = [value for value in objects if KEY in value]
    if not verdicts:
        if not objects or broken:
            raise AnswerError("not_json", "it holds no JSON object that can be read", raw)
        raise AnswerError("missing", f"its JSON object lacks {KEY}", raw)
    if any(value != verdicts[0] for value in verdicts[1:]):
        raise AnswerError("contradictory", "it holds two different verdicts", raw)
    return verdicts[0]
