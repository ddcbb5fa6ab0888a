"""Parameters of the scheduled analyses."""

from __future__ import annotations

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams


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

    reason: str = Field(
        "",
        max_length=1000,
        validate_default=True,
        title="Reason",
        description="Why it may be asked again; whoever approves reads it, and it is kept with the change. Required.",
        json_schema_extra={RULE: "reason is required: say in 1 to 1000 characters why GPT-4 may be asked again"},
    )

    @field_validator("reason")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        # No minLength in the schema: Airflow would refuse the DAG for its own default.
        if not value:
            raise ValueError("empty")
        return value
