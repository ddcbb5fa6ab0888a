"""The message about a performance analysis, under the name by which its callers know it."""

from include.notify.reports.performance import performance_message

__all__ = ["performance_message"]
