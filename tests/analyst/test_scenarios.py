"""Written scenarios, each from trades to decision: measured, judged by a recorded answer, decided.

Nothing in between is replaced: the trades are read and measured, the question is asked over HTTP of a
server that answers what the scenario has recorded, the ledger is a real database.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.analyst.analysis_documents import (
    analysis_document,
    error_result,
    fallback_result,
    judged_result,
    skipped_result,
)
from include.analyst.decision import decide, fallback, undecided
from include.analyst.errors import AnswerError
from include.analyst.evidence import Evidence, reasons_to_analyse, why_skip
from include.analyst.judge import ask
from include.analyst.ledger import CostLedger
from include.analyst.prompt import build_messages
from include.settings import Settings
from tests.analyst.evidence_parts import evidence_of
from tests.analyst.openai_answers import completion
from tests.trading.engine_answers import NOW
from tests.trading.loopback import LoopbackServer

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = sorted(FOLDER.glob("*.json"))


def test_there_are_at_least_twenty() -> None:
    assert len(SCENARIOS) >= 20


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_ends_as_the_rules_demand(
    path: Path, openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    scenario: dict[str, Any] = json.loads(path.read_text())
    expected = scenario["expected"]
    answers = [raw if isinstance(raw, str) else json.dumps(raw) for raw in scenario["answers"]]
    openai_server.script(*(completion(raw) for raw in answers))
    evidence = evidence_of([tuple(day) for day in scenario["days"]], scenario["accuracy"], **scenario["market"])

    result = run(scenario, evidence, settings, ledger)

    assert list(evidence.performance.critical_metrics) == expected["critical"]
    assert [f"{finding.kind} {finding.model_type}" for finding in evidence.findings] == expected["findings"]
    assert len(openai_server.asked) == expected["requests"]
    assert result["status"] == expected["status"]
    assert result.get("reason") == expected["skipped"]
    assert result.get("error_kind") == expected["error"]
    analysis = result.get("analysis", {"decision": {"retrain": False, "model_types": [], "vetoes": []}})
    assert analysis.get("recommendation") == expected["recommendation"]
    assert analysis["decision"]["retrain"] is expected["retrain"], analysis["decision"]["reason"]
    assert analysis["decision"]["model_types"] == expected["model_types"]
    assert analysis["decision"]["vetoes"] == expected["vetoes"]
    document = analysis_document(result, evidence, NOW)
    assert document["retrain_triggered"] is False
    assert json.loads(json.dumps(document["full_analysis"])) == result


def run(scenario: dict[str, Any], evidence: Evidence, settings: Settings, ledger: CostLedger) -> dict[str, Any]:
    """Go the way of the self-analysis, without Airflow."""
    forced = scenario["forced"]
    reasons = reasons_to_analyse(evidence, forced)
    skip = why_skip(evidence, reasons, already_analysed=False, force=forced)
    if skip is not None:
        return skipped_result("run", skip, evidence)
    if scenario["no_judge"]:
        return fallback_result("run", fallback(evidence, scenario["no_judge"]), evidence, reasons)
    try:
        judgement = ask(settings, build_messages(evidence), ledger, "run")
    except AnswerError as error:
        return error_result("run", error, undecided(error), evidence, reasons)
    decision = decide(judgement.answer, evidence, settings, forced=forced)
    return judged_result("run", judgement, decision, evidence, reasons)
