"""Finds answers that say two things at once; such an answer moves nothing.

The texts are judged by a few phrases only. To miss one costs nothing where the recommendation is to
wait; where it is to retrain, other conditions still have to hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from include.analyst.accuracy import MODEL_TYPES, ModelType
from include.analyst.recommendation import Recommendation

SURE = 0.7

_ORDERS_RETRAINING = re.compile(
    r"\s*(?:immediately|urgently|now|start(?:ing)?|begin|please)?\s*(?:to\s+)?re-?train(?:ing)?\b", re.I
)
_CONDITIONAL = re.compile(
    r"\b(?:if|when|once|unless|only|after|later|in case|should|consider|next|\d+ (?:more )?(?:days?|hours?|weeks?))\b",
    re.I,
)
_FORBIDS_RETRAINING = re.compile(
    r"\b(?:do not|don't|should not|shouldn't|must not|avoid) re-?train(?:ing)?\b"
    r"|\bno re-?training (?:is |was )?(?:needed|required|necessary|warranted)\b"
    r"|\bno need to re-?train\b",
    re.I,
)


def contradiction(
    recommendation: Recommendation,
    named: Sequence[ModelType],
    listed: Sequence[ModelType] | None,
    confidence: float,
    actions: Sequence[str],
    reasoning: str,
) -> str | None:
    """Return what contradicts what, or None.

    :param named: the types that the recommendation's own word names (`RETRAIN_LSTM`).
    :param listed: the answer's `model_types`, None when it has none.
    """
    if recommendation != "retrain":
        orders = [action for action in actions if _ORDERS_RETRAINING.match(action) and not _CONDITIONAL.search(action)]
        if recommendation == "wait" and confidence >= SURE and orders:
            return f"it recommends to wait and at the same time to act: {orders[0]!r:.120}"
        return None
    if listed is not None and not listed:
        return "it recommends to retrain but model_types is empty"
    if named and listed is not None and set(named) != set(listed):
        return f"its recommendation names {', '.join(named)} but model_types is {', '.join(listed)}"
    everything = set(named or listed or MODEL_TYPES) == set(MODEL_TYPES)
    if everything:
        for text in (reasoning, *actions):
            forbids = _FORBIDS_RETRAINING.search(text)
            if forbids:
                return f"it recommends to retrain everything but says {forbids.group(0)!r}"
    return None
