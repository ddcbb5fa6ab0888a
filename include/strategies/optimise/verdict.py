"""The verdict in words, by a rule that was fixed before the experiments of `benchmarks/bench_edge.py` were drawn.

**robust** - all five conditions hold:

1. *Enough trades*: at least 30 closed ones out of sample (the test parts of the walk-forward, end to end).
2. *Significance*: the probability that the Sharpe ratio of those out-of-sample days, net of all costs, is truly above
   zero (PSR) is at least 98 %. On prices without any edge this alone lets at most 2 in 100 through.
3. *Not the luck of the search*: the deflated Sharpe ratio of the chosen variation in sample is at least 95 %: it is
   better than the best of so many worthless variations would look.
4. *The choice holds*: in at most a quarter of CSCV's splits the best in sample lost money out of sample; and where it
   did in more than a tenth, it was more often above the median than below (PBO at most 50 %). The PBO alone decides
   nothing: where all variations earn about the same, the best in sample is above and below the median equally often,
   and that is no fault of theirs.
5. *The test part agrees*: the parameters that are proposed have earned on the final test part.

**overfit** - it looked good and was not: the chosen variation earned in sample, and out of sample the walk-forward
traded and earned nothing, or the choice loses in more than half of CSCV's splits with a PBO above 50 %.

**weak** - everything else: an edge that is too small, too rare or too uncertain, or none even in sample.

A verdict is about the past: costs, liquidity and the market may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from include.strategies.optimise.cscv import Overfitting

Word = Literal["robust", "weak", "overfit"]

FEWEST_TRADES = 30
SIGNIFICANCE = 0.98
FEWEST_DEFLATED = 0.95
MOST_LOSSES, FEW_LOSSES = 0.25, 0.10
COIN = 0.5


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on. Ratios are annualised, probabilities 0 to 1; None where there is none.

    :param in_sample_sharpe: of the chosen variation on the final train part.
    :param test_return_pct: of the same parameters on the final test part.
    :param out_of_sample_sharpe, out_of_sample_return_pct, out_of_sample_trades: of the walk-forward, end to end.
    :param psr: that its Sharpe ratio is truly above zero.
    :param dsr: deflated Sharpe ratio of the chosen variation.
    """

    in_sample_sharpe: float | None
    test_return_pct: float | None
    out_of_sample_sharpe: float | None
    out_of_sample_return_pct: float
    out_of_sample_trades: int
    psr: float | None
    dsr: float | None
    cscv: Overfitting | None


@dataclass(frozen=True)
class Check:
    """One condition: whether it holds, and the sentence that says so with its numbers."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """The word, the conditions, and the sentences that explain the word."""

    word: Word
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the reasons and conditions as a JSON-able mapping."""
        return {
            "reasons": list(self.reasons),
            "checks": [{"name": check.name, "passed": check.passed, "text": check.text} for check in self.checks],
        }


def judge(evidence: Evidence) -> Verdict:
    """Apply the rule of this module's text."""
    checks = (_trades(evidence), _significance(evidence), _luck(evidence), _choice(evidence), _test_part(evidence))
    if all(check.passed for check in checks):
        return Verdict("robust", checks, tuple(check.text for check in checks))
    failed = tuple(check.text for check in checks if not check.passed)
    sharpe = evidence.in_sample_sharpe
    if sharpe is None:
        return Verdict("weak", checks, ("no variation traded in sample, so nothing could be chosen", *failed))
    if sharpe <= 0:
        return Verdict("weak", checks, (f"even the best variation lost in sample (Sharpe ratio {sharpe:.2f})", *failed))
    looked = f"it looked good in sample (Sharpe ratio {sharpe:.2f})"
    if evidence.out_of_sample_trades and evidence.out_of_sample_return_pct <= 0:
        earned = f"earned {evidence.out_of_sample_return_pct:.2f} % out of sample"
        return Verdict("overfit", checks, (f"{looked} and {earned}", *failed))
    cscv = evidence.cscv
    if cscv and cscv.pbo > COIN and cscv.loss_probability > COIN:
        return Verdict("overfit", checks, (f"{looked}, but to choose by the past loses more often than not", *failed))
    return Verdict("weak", checks, failed)


def _trades(evidence: Evidence) -> Check:
    count = evidence.out_of_sample_trades
    return Check("trades", count >= FEWEST_TRADES, f"{count} trades out of sample (at least {FEWEST_TRADES})")


def _significance(evidence: Evidence) -> Check:
    if evidence.psr is None or evidence.out_of_sample_sharpe is None:
        return Check("significance", False, "no Sharpe ratio out of sample: its daily returns do not differ")
    text = (
        f"Sharpe ratio {evidence.out_of_sample_sharpe:.2f} out of sample, truly above zero with probability "
        f"{evidence.psr:.1%} (at least {SIGNIFICANCE:.0%})"
    )
    return Check("significance", evidence.psr >= SIGNIFICANCE, text)


def _luck(evidence: Evidence) -> Check:
    if evidence.dsr is None:
        return Check("luck", False, "no deflated Sharpe ratio: the chosen variation has no Sharpe ratio in sample")
    return Check(
        "luck",
        evidence.dsr >= FEWEST_DEFLATED,
        f"better than the luck of the search explains with probability {evidence.dsr:.1%} (deflated Sharpe ratio; at "
        f"least {FEWEST_DEFLATED:.0%})",
    )


def _choice(evidence: Evidence) -> Check:
    cscv = evidence.cscv
    if cscv is None:
        return Check("choice", False, "no probability of overfitting: too few days, or under two variations traded")
    passed = cscv.loss_probability <= MOST_LOSSES and (cscv.pbo <= COIN or cscv.loss_probability <= FEW_LOSSES)
    text = (
        f"the best in sample lost out of sample in {cscv.loss_probability:.1%} of {cscv.splits} splits (at most "
        f"{MOST_LOSSES:.0%}) and was below the median in {cscv.pbo:.1%} (at most {COIN:.0%} where it lost in more than "
        f"{FEW_LOSSES:.0%})"
    )
    return Check("choice", passed, text)


def _test_part(evidence: Evidence) -> Check:
    earned = evidence.test_return_pct
    if earned is None:
        return Check("test_part", False, "nothing was chosen that could be tried on the test part")
    return Check("test_part", earned > 0, f"the proposed parameters earned {earned:.2f} % on the test part (above 0)")
