"""Parameters of the scheduled analyses."""

from __future__ import annotations

from pydantic import Field

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
