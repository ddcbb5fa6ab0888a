"""The rule that decides whether a newly trained model replaces the champion.

Deploy when the hold-out accuracy reaches the minimum, the skill over the baseline reaches its minimum, and
on the same bars the candidate is at least as accurate as the champion (equal deploys: it knows fresher data).
The first model of its place has nobody to be compared with. When no comparison was possible the champion
stays. A number that is not finite never deploys anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.ml.comparison import Comparison
    from include.settings import Settings

Condition = Literal["not_a_number", "min_accuracy", "min_skill", "comparison", "champion_unreadable", "worse"]


@dataclass(frozen=True)
class DeployRule:
    """The thresholds: accuracy and skill are shares (0.60 is 60 %)."""

    min_accuracy: float = 0.60
    min_skill: float = -0.03

    @classmethod
    def from_settings(cls, settings: Settings) -> DeployRule:
        """Return the rule that the settings ask for."""
        return cls(settings.min_deploy_accuracy, settings.min_deploy_skill)


@dataclass(frozen=True)
class Verdict:
    """Whether to deploy, with every reason in words and the conditions that failed, the first one first."""

    deploy: bool
    reasons: tuple[str, ...]
    failed: tuple[Condition, ...] = ()

    @property
    def failed_condition(self) -> Condition | None:
        """The first condition that failed, or None for a deployment."""
        return self.failed[0] if self.failed else None

    @property
    def text(self) -> str:
        """One line, for instance `not deployed: accuracy 0.58 below 0.60`."""
        return f"{'deployed' if self.deploy else 'not deployed'}: {'; '.join(self.reasons)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {
            "deploy": self.deploy,
            "reason": self.text,
            "reasons": list(self.reasons),
            "failed_condition": self.failed_condition,
            "failed_conditions": list(self.failed),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """Return the verdict that :meth:`to_dict` described."""
        return cls(bool(values["deploy"]), tuple(values["reasons"]), tuple(values["failed_conditions"]))


def decide(accuracy: float, skill: float, comparison: Comparison, rule: DeployRule) -> Verdict:
    """Apply the rule.

    :param accuracy: the candidate's share of correct signs on its whole hold-out.
    :param skill: that accuracy minus the baseline's.
    :param comparison: candidate and champion on the bars that neither has seen.
    """
    wrong = _no_share("accuracy", accuracy) or _no_finite_number("skill", skill)
    if wrong:
        return Verdict(False, (wrong,), ("not_a_number",))
    failures: list[tuple[Condition, str]] = []
    if accuracy < rule.min_accuracy:
        failures.append(("min_accuracy", "accuracy {} below {}".format(*_apart(accuracy, rule.min_accuracy))))
    if skill < rule.min_skill:
        failures.append(("min_skill", "skill {} below {}".format(*_apart(skill, rule.min_skill, sign=True))))
    against, why = _against_champion(comparison)
    if against:
        failures.append((against, why))
    if failures:
        return Verdict(False, tuple(text for _, text in failures), tuple(condition for condition, _ in failures))
    return Verdict(True, (why, f"hold-out accuracy {accuracy:.2f}, skill {skill:+.2f}"))


def _against_champion(comparison: Comparison) -> tuple[Condition | None, str]:
    """Return what the comparison forbids (None: nothing), and the reason in words."""
    if comparison.status == "first_model":
        return None, "first model of its kind, nothing to compare with"
    if comparison.status == "not_possible":
        return "comparison", f"comparison not possible, the champion stays ({comparison.reason})"
    if comparison.status == "champion_unreadable":
        return "champion_unreadable", f"the champion cannot be read and stays ({comparison.reason})"
    new, old = comparison.accuracies
    wrong = _no_share("accuracy on the same bars", new) or _no_share("the champion's accuracy", old)
    if wrong:
        return "not_a_number", wrong
    bars = f"on the same {comparison.bars} bars"
    if new == old:
        return None, f"accuracy {new:.2f} equals the champion's {bars}, and it knows fresher data"
    shown = _apart(new, old)
    if new < old:
        return "worse", f"accuracy {shown[0]} below the champion's {shown[1]} {bars}"
    return None, f"accuracy {shown[0]} above the champion's {shown[1]} {bars}"


def _no_share(name: str, value: float) -> str:
    if not math.isfinite(value):
        return _no_finite_number(name, value)
    return "" if 0 <= value <= 1 else f"{name} is {value}, not a share between 0 and 1"


def _no_finite_number(name: str, value: float) -> str:
    return "" if math.isfinite(value) else f"{name} is {value}, not a finite number"


def _apart(first: float, second: float, *, sign: bool = False) -> tuple[str, str]:
    """Format two different numbers with as many decimals as it takes to see the difference."""
    kind = "+" if sign else ""
    for decimals in range(2, 7):
        shown = f"{first:{kind}.{decimals}f}", f"{second:{kind}.{decimals}f}"
        if shown[0] != shown[1]:
            break
    return shown
