"""Airflow's web UI as a person uses it: log in, open a DAG, fill its form in, trigger it, watch the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from playwright.sync_api import Locator, Page, sync_playwright

from ops.environment import ADMIN_NAME
from tests.stack.stack import Stack

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ("--no-sandbox",)
"""Chromium refuses to start as root with its sandbox; it sees nothing here but our own pages."""
ACTION_TIMEOUT_MS = 60_000
"""For a page to appear on a busy machine."""


@contextmanager
def page_of_admin(stack: Stack, path: str) -> Iterator[Page]:
    """Open a page of the UI as a person who is not logged in yet: the login comes first, then the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(ACTION_TIMEOUT_MS)
            page.goto(f"{stack.twin.base_url}{path}")
            page.locator("input[name=username]").fill(ADMIN_NAME)
            page.locator("input[name=password]").fill(stack.twin.admin_password)
            page.get_by_role("button", name="Sign In").click()
            yield page
        finally:
            browser.close()


def trigger(page: Page, fill_in: Callable[[Locator], None]) -> str:
    """Press the DAG's trigger button, fill its form in, submit it, and return the id of the run that is then shown."""
    page.get_by_test_id("trigger-dag-button").click()
    form = page.get_by_role("dialog")
    fill_in(form)
    form.get_by_role("button", name="Trigger", exact=True).click()
    page.wait_for_url("**/runs/**")
    return unquote(page.url.rpartition("/runs/")[2].partition("/")[0].partition("?")[0])


def leave(page: Page) -> None:
    """Go nowhere: a page of Airflow asks its server every few seconds, which costs the runs more than it shows."""
    page.goto("about:blank")


def await_state(page: Page, url: str, state: str) -> None:
    """Open a run's page and wait until it shows that the run has this state."""
    page.goto(url)
    page.get_by_test_id("header-card").get_by_test_id("state-badge").filter(has_text=state).wait_for()
