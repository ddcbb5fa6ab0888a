"""The document of a run: what was found, in the specified words, and small enough to be kept and handed on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.errors import BadInputError, TradingOpsError, TransientError
from include.ml.bulk.failure import Failure
from include.store.collections import BULK_ANALYSES

XCOM_BYTES = 48 * 1024
"""A result of this size or more is handed on by its id and its head."""


def ranked(answers: Mapping[str, Mapping[str, Any]], min_confidence: float) -> list[dict[str, Any]]:
    """Return the answers of at least `min_confidence`, the most confident first, equal ones by symbol."""
    chosen = [dict(answer) for answer in answers.values() if answer["confidence"] >= min_confidence]
    return sorted(chosen, key=lambda answer: (-answer["confidence"], answer["symbol"]))


def result_of(
    task_id: str,
    timestamp: datetime,
    answers: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, Failure],
    asked: Mapping[str, Any],
    exchange: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the run's result with the specified keys first.

    :param timestamp: aware UTC.
    :param failures: by symbol, in the order in which `failed_symbols` shall name them.
    :param asked: the run's params: `timeframe`, `model_type`, `min_confidence`, `top_n`.
    """
    confident = ranked(answers, asked["min_confidence"])
    shown = confident[: asked["top_n"]]
    counts = Counter(failure.kind for failure in failures.values())
    document = {
        "status": "success" if answers else "failed",
        "symbols_analyzed": len(answers),
        "timestamp": timestamp,
        "results": shown,
        "failed_symbols": list(failures),
        "failures": {symbol: failure.text for symbol, failure in failures.items()},
        "task_id": task_id,
        "symbols_requested": len(answers) + len(failures),
        "symbols_confident": len(confident),
        "symbols_cached": sum(bool(answer.get("cached")) for answer in answers.values()),
        "failure_counts": dict(counts.most_common()),
        **asked,
        "exchange": dict(exchange),
    }
    if not answers:
        document["error"] = _all_failed(failures)
    return document


def require_any(failures: Mapping[str, Failure], answers: Mapping[str, Any]) -> None:
    """Fail the run when no symbol could be analysed.

    :raises TransientError: when trying again later may help at least one of them.
    :raises BadInputError: otherwise.
    """
    if answers:
        return
    transient = any(failure.transient for failure in failures.values())
    error: type[TradingOpsError] = TransientError if transient else BadInputError
    raise error(_all_failed(failures))


def handed_on(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result as it travels between tasks: whole below 48 KiB, else its id and as much as fits."""
    whole = {**document, "timestamp": document["timestamp"].isoformat()}
    if _size(whole) < XCOM_BYTES:
        return whole
    head = {**whole, "failed_symbols": [], "failures": {}, "results": []}
    head |= {
        "truncated": True,
        "collection": BULK_ANALYSES,
        "failed_symbols_count": len(whole["failed_symbols"]),
        "results_count": len(whole["results"]),
    }
    room = XCOM_BYTES - _size(head) - 1024
    for answer in whole["results"]:
        room -= _size(answer) + 2
        if room < 0:
            break
        head["results"].append(answer)
    return head


def _all_failed(failures: Mapping[str, Failure]) -> str:
    counts = Counter(failure.kind for failure in failures.values()).most_common()
    example = next(iter(failures.values())).text if failures else "none was asked for"
    return (
        f"All {len(failures)} symbols failed: {', '.join(f'{count} {kind}' for kind, count in counts)}; "
        f"the first: {example}"
    )


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=True))
