"""Whether to retrain: the judge's verdict, the rule, and the vetoes that no verdict can overrule.

The table of vetoes with their reasons is in `docs/decisions/0003-hard-vetoes.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from include.analyst.accuracy import MODEL_TYPES, ModelType
from include.analyst.evidence import numbers_that_are_wrong
from include.trading.performance import MIN_TRADES
from include.trading.performance_model import Record

if TYPE_CHECKING:
    from include.analyst.answer import Answer
    from include.analyst.errors import AnswerError
    from include.analyst.evidence import Evidence
    from include.settings import Settings

Veto = Literal["too_few_trades", "nothing_wrong", "contradictory_answer", "unusable_answer"]

ACTED_ON_URGENCY = ("medium", "high")
CRITICAL_METRICS_FOR_FALLBACK = 2


class Decision(Record):
    """What follows. `judge` says who was heard; `vetoes` are empty unless they stopped a retraining.

    `model_types` is empty unless `retrain`.
    """

    retrain: bool
    model_types: tuple[ModelType, ...]
    reason: str
    vetoes: tuple[Veto, ...]
    judge: Literal["gpt4", "none"]


def decide(answer: Answer, evidence: Evidence, settings: Settings, *, forced: bool = False) -> Decision:
    """Apply the rule to a verdict: retrain on `retrain`, enough confidence, and urgency medium or high.

    :param forced: whether a person asked for the analysis although nothing was wrong.
    """
    if answer.recommendation != "retrain":
        return _keep(f"GPT-4 recommends {answer.recommendation_raw} (confidence {answer.confidence:.2f})")
    if answer.confidence < settings.retrain_min_confidence:
        return _keep(
            f"GPT-4 recommends to retrain, but its confidence {answer.confidence:.2f} is below "
            f"{settings.retrain_min_confidence:.2f}"
        )
    if answer.urgency not in ACTED_ON_URGENCY:
        return _keep(f"GPT-4 recommends to retrain, but with urgency {answer.urgency}")
    vetoes = hard_vetoes(evidence, forced)
    if vetoes:
        return _keep(f"GPT-4 recommends to retrain, vetoed: {'; '.join(_VETO_TEXTS[veto] for veto in vetoes)}", vetoes)
    return Decision(
        retrain=True,
        model_types=answer.model_types,
        reason=f"GPT-4 recommends {answer.recommendation_raw} with confidence {answer.confidence:.2f} "
        f"and urgency {answer.urgency}",
        vetoes=(),
        judge="gpt4",
    )


def undecided(error: AnswerError) -> Decision:
    """Decide when the judge answered, but unusably even after the repair attempt: nothing is retrained."""
    veto: Veto = "contradictory_answer" if error.kind == "contradictory" else "unusable_answer"
    return _keep(f"{_VETO_TEXTS[veto]}: {error.problem}", (veto,))


def fallback(evidence: Evidence, why: str) -> Decision:
    """Decide when no judge could be asked: retrain all types if at least two metrics are critical, else nothing.

    :param why: why no judge was asked; it becomes part of the reason.
    """
    critical = evidence.performance.critical_metrics if evidence.performance.status == "success" else ()
    retrain = len(critical) >= CRITICAL_METRICS_FOR_FALLBACK
    count = f"{len(critical)} of 3 metrics critical" + (f" ({', '.join(critical)})" if critical else "")
    return Decision(
        retrain=retrain,
        model_types=MODEL_TYPES if retrain else (),
        reason=f"No judge was asked ({why}); {count}, so the fallback rule "
        + ("retrains all models" if retrain else f"keeps them (it needs {CRITICAL_METRICS_FOR_FALLBACK})"),
        vetoes=(),
        judge="none",
    )


def hard_vetoes(evidence: Evidence, forced: bool) -> tuple[Veto, ...]:
    """Return the vetoes that the evidence raises against a retraining, whatever the judge says."""
    vetoes: list[Veto] = []
    if evidence.performance.metrics.total_trades < MIN_TRADES:
        vetoes.append("too_few_trades")
    if not forced and not numbers_that_are_wrong(evidence):
        vetoes.append("nothing_wrong")
    return tuple(vetoes)


_VETO_TEXTS: dict[Veto, str] = {
    "too_few_trades": f"fewer than {MIN_TRADES} trades in 7 days say nothing about the models",
    "nothing_wrong": "no metric is critical, no accuracy is down, and nobody forced the analysis",
    "contradictory_answer": "the answer contradicts itself",
    "unusable_answer": "the answer cannot be used",
}


def _keep(reason: str, vetoes: tuple[Veto, ...] = ()) -> Decision:
    return Decision(retrain=False, model_types=(), reason=reason, vetoes=vetoes, judge="gpt4")
