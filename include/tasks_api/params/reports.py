"""Parameters of the scheduled analyses."""

from __future__ import annotations

from pydantic import Field

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Reason, reason_field


class PerformanceAnalysisParams(RunParams):
    """One look at the last seven days of trades."""

    notify: bool = Field(
        True,
        title="Send the summary",
        description="Send the performance summary to the channels.",
        json_schema_extra={RULE: "notify must be true or false"},
    )


class SelfAnalysisParams(RunParams):
    """One question to the judge."""

    force_analysis: bool = Field(
        False,
        title="Ask in any case",
        description="Ask even when nothing is wrong or the finding has been analysed before.",
        json_schema_extra={RULE: "force_analysis must be true or false"},
    )
    triggered_by: str = Field(
        "",
        max_length=250,
        title="Asked for by",
        description="The run whose finding started this one; empty for the schedule or a person.",
        json_schema_extra={RULE: "triggered_by must be a run id"},
    )


class ScoreChampionsParams(RunParams):
    """One scoring of every deployed model."""


class HealthCheckParams(RunParams):
    """One look at every service; there is nothing to choose."""


class PortfolioReportParams(RunParams):
    """One portfolio report."""

    notify: bool = Field(
        True,
        title="Send the report",
        description="Send the report to the channels.",
        json_schema_extra={RULE: "notify must be true or false"},
    )


class CostReportParams(RunParams):
    """One report of what the AI costs."""

    notify: bool = Field(
        True,
        title="Send the report",
        description="Send the report to the channels; a critical cost switches GPT-4 off and alerts in any case.",
        json_schema_extra={RULE: "notify must be true or false"},
    )


class CostWatchParams(RunParams):
    """One look at the AI's costs; there is nothing to choose."""


class EnableGpt4Params(RunParams):
    """One request to switch GPT-4 on again."""

    reason: Reason = reason_field(
        "Why it may be asked again; whoever approves reads it, and it is kept with the change. Required.",
        "why GPT-4 may be asked again",
    )
