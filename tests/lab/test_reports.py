"""Stored pages: one of each name per run, the newest try's, whole or not at all; and what a browser is told of them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError, FencedError, IntegrityError, ServiceUnavailableError
from include.store.collections import STRATEGY_REPORTS_BUCKET
from include.strategies.report_address import report_url
from include.strategies.report_http import report_answer
from include.strategies.reports import HTML, Report, ReportStore

Db = Database[dict[str, Any]]
DAG, RUN = "backtest_strategy", "manual__2026-01-01T00:00:00+00:00"
PAGE = "<html><script>draw()</script>ü" + "x" * 400_000 + "</html>"


def save(store: ReportStore, text: str, try_number: int, name: str = "report", run_id: str = RUN) -> None:
    store.save(DAG, run_id, name, text, try_number)


def text_of(store: ReportStore, name: str = "report", run_id: str = RUN) -> str | None:
    report = store.load(DAG, run_id, name)
    return None if report is None else report.plain().decode()


@pytest.mark.critical
def test_a_page_comes_back_as_it_was_and_a_retry_overwrites_it(db: Db) -> None:
    store = ReportStore(db)
    assert text_of(store) is None
    save(store, PAGE, 1)
    assert text_of(store) == PAGE
    save(store, "again", 1)
    save(store, "better", 2)
    assert text_of(store) == "better"
    assert db[f"{STRATEGY_REPORTS_BUCKET}.files"].count_documents({}) == 1
    assert db[f"{STRATEGY_REPORTS_BUCKET}.chunks"].count_documents({}) == 1


def test_an_older_try_that_still_lives_changes_nothing(db: Db) -> None:
    store = ReportStore(db)
    save(store, "of the second try", 2)
    with pytest.raises(FencedError, match=r"try 2 of run .* has stored the page report: try 1 must not write"):
        save(store, "of the first", 1)
    assert text_of(store) == "of the second try"


def test_the_newest_try_is_read_also_when_an_older_one_was_stored_after_it(db: Db) -> None:
    store = ReportStore(db)
    save(store, "of the first", 1)
    late = dict(db[f"{STRATEGY_REPORTS_BUCKET}.files"].find_one() or {})
    save(store, "of the second try", 2)
    late["uploadDate"] = datetime.now(UTC) + timedelta(seconds=5)
    db[f"{STRATEGY_REPORTS_BUCKET}.files"].insert_one(late)
    assert text_of(store) == "of the second try"


def test_pages_of_other_runs_and_names_are_apart(db: Db) -> None:
    store = ReportStore(db)
    save(store, "a", 1)
    save(store, "b", 1, "heatmap")
    save(store, "entry,exit\n", 1, "trades.csv")
    save(store, "c", 1, run_id="another")
    assert [text_of(store), text_of(store, "heatmap"), text_of(store, run_id="another")] == ["a", "b", "c"]
    assert store.names(DAG, RUN) == ["heatmap", "report", "trades.csv"]
    table = store.load(DAG, RUN, "trades.csv")
    assert table is not None
    assert table.content_type.startswith("text/csv")


@pytest.mark.parametrize("name", ["", "../report", "Report", "a/b", "a.html", "x" * 60, "<b>"])
def test_a_name_that_is_no_address_is_refused(db: Db, name: str) -> None:
    with pytest.raises(BadInputError, match="cannot be the name of a page"):
        save(ReportStore(db), "x", 1, name)


def test_a_page_with_a_part_missing_or_changed_is_an_error_and_not_half_a_page(db: Db) -> None:
    store = ReportStore(db)
    save(store, PAGE, 1)
    chunks = db[f"{STRATEGY_REPORTS_BUCKET}.chunks"]
    chunks.update_one({}, {"$set": {"data": gzip.compress(b"other")}})
    with pytest.raises(IntegrityError, match=r"incomplete|does not match"):
        text_of(store)
    chunks.delete_many({})
    with pytest.raises(IntegrityError, match="incomplete in the database"):
        text_of(store)
    answer = report_answer(lambda: store.load(DAG, RUN, "report"))
    assert (answer.status, answer.headers["Cache-Control"]) == (500, "no-store")


def test_old_pages_are_swept_and_what_a_killed_upload_left_too(db: Db) -> None:
    store = ReportStore(db)
    save(store, "old", 1)
    save(store, "young", 1, run_id="young")
    files, chunks = db[f"{STRATEGY_REPORTS_BUCKET}.files"], db[f"{STRATEGY_REPORTS_BUCKET}.chunks"]
    now = datetime.now(UTC)
    files.update_one({"metadata.run_id": RUN}, {"$set": {"uploadDate": now - timedelta(days=200)}})
    save(store, "killed", 1, run_id="killed")
    files.delete_one({"metadata.run_id": "killed"})
    before = now - timedelta(days=180)
    assert store.sweep(before, dry_run=True) == 1
    assert store.sweep(before) == 1
    assert (text_of(store), text_of(store, run_id="young")) == (None, "young")
    assert chunks.count_documents({}) == 2, "a young upload may be under way"
    assert store.sweep(now + timedelta(days=1)) == 1
    assert chunks.count_documents({}) == 0


def report(text: str = PAGE, name: str = "report", content_type: str = HTML) -> Report:
    import hashlib

    plain = text.encode()
    return Report(name, content_type, gzip.compress(plain), hashlib.sha256(plain).hexdigest())


@pytest.mark.critical
def test_a_page_runs_its_scripts_in_a_sandbox_without_an_origin() -> None:
    answer = report_answer(report)
    policy = answer.headers["Content-Security-Policy"]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "allow-scripts" in rules["sandbox"].split()
    assert "allow-same-origin" not in policy
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules, "falls back to default-src: the page can ask nobody"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.status, answer.body.decode()) == (200, PAGE)


def test_compressed_where_the_browser_takes_it_and_not_sent_again_when_it_has_it() -> None:
    packed = report_answer(report, accept_encoding="br, GZIP")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body).decode() == PAGE
    assert "Content-Encoding" not in report_answer(report).headers
    again = report_answer(report, if_none_match=packed.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    changed = report_answer(lambda: report("other"), if_none_match=packed.headers["ETag"])
    assert changed.status == 200


def test_a_table_is_saved_and_not_shown() -> None:
    answer = report_answer(lambda: report("a,b\n", "trades.csv", "text/csv; charset=utf-8"))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trades.csv"'


def test_without_a_page_or_without_mongodb_nothing_is_kept_by_the_browser() -> None:
    def away() -> Report | None:
        raise ServiceUnavailableError("MongoDB is away")

    for load, status, text in ((lambda: None, 404, "no such page"), (away, 503, "MongoDB is away")):
        answer = report_answer(load)
        assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-store")
        assert text in answer.body.decode()
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_addresses_keep_whatever_a_run_id_has_in_one_part() -> None:
    url = report_url("http://h:1/root", "d", "manual__2026-01-01T00:00:00+00:00/../?x#<b>", "report")
    assert url.startswith("http://h:1/root/strategy-reports/d/manual__2026-01-01T00%3A00%3A00%2B00%3A00%2F..%2F%3F")
    assert url.endswith("/report")
