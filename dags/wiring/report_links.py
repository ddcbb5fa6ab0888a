"""Links from a task's page in the UI to the pages that it has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from include.strategies.report_address import report_url

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


def address(dag_id: str, run_id: str, name: str) -> str:
    """Return where a page is read, under the address that Airflow is known by (`[api] base_url`)."""
    return report_url(conf.get("api", "base_url", fallback=None) or "/", dag_id, run_id, name)


@attrs.define
class PageLink(BaseOperatorLink):
    """A button on the task's page; it is offered once the task has made the page.

    :param title: what the button says.
    :param page: name of the page.
    """

    title: str
    page: str

    @property
    def name(self) -> str:
        """What the button says."""
        return self.title

    @property
    def xcom_key(self) -> str:
        """Key under which Airflow keeps the link; one per page."""
        return f"_link_{self.page}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey | Any) -> str:
        """Return the page's address, or nothing where the task did not make it (asked at the task's end)."""
        made = getattr(operator, "pages_made", ())
        return address(ti_key.dag_id, ti_key.run_id, self.page) if self.page in made else ""
