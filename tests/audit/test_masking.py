"""Secrets in nested values and in task logs."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dags.wiring.params import run_params
from include.audit.listeners import on_task_instance_failed, on_task_instance_running
from include.audit.masking import masked
from include.audit.rows import error_text, params_text
from include.tasks_api.params.rollback_model import RollbackModelParams
from tests.conftest import REPOSITORY

SECRET = "sk-PLANTED1234567890"
LOGGING = """
import logging, sys, structlog
from airflow.sdk._shared.logging import configure_logging
configure_logging(json_output=True, output=sys.stdout.buffer, log_level="INFO", cache_logger_on_first_use=True)
early = structlog.get_logger("task")
early.info("before")
from include.audit.log_scrub import install
install()
install()
class Failure(Exception): ...
def fail():
    raise Failure("mongodb://ops:PLANTED@db/ and token=PLANTED")
conf = {"password": "PLANTED", "list": ["sk-PLANTED1234567890"]}
early.info("token=PLANTED", why=Failure("token=PLANTED"), n=1, at=None, conf=conf)
logging.getLogger("a").warning("with %s", "password=PLANTED")
for log in (early, logging.getLogger("b")):
    try:
        fail()
    except Failure as error:
        error.add_note("authorization: Bearer PLANTED1234567890")
        log.exception("it failed")
"""


PRINTING = """
import sys
from include.audit.listeners import on_starting
class TaskRunnerMarker: ...
on_starting(component=TaskRunnerMarker())
on_starting(component=TaskRunnerMarker())
print("before", {"n": 1})
print("password=", "PLANTEDhunter2", sep="")
sys.stdout.write("token=")
sys.stdout.write("PLANTED and mongodb://ops:PLANT")
sys.stdout.write("ED@db/\\n")
sys.stdout.writelines(["a\\n", "b\\n"])
print("progress 10 %", end="", flush=True)
print(", api_key: PLANTED", file=sys.stderr)
print("x" * 50_000, end="")
print(sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding)
sys.stdout.write("no end, secret=PLANTED")
sys.stdout.flush()
"""


@pytest.mark.critical
def test_what_a_task_prints_is_scrubbed_too() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PRINTING], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ", api_key: ***\n"
    assert answer.stdout.replace("x" * 50_000, "<long>") == (
        "before {'n': 1}\npassword=***\ntoken=*** and mongodb://***@db/\na\nb\n"
        "progress 10 %<long>False 1 utf-8\nno end, secret=***"
    )


def test_nested_secrets_are_masked_and_their_places_named() -> None:
    value = {"symbol": "BTCUSDT", "Api Key": "x", "empty_token": "", "deep": [{"why": f"a {SECRET}"}, 1, None, True]}
    clean, paths = masked(value)
    assert clean == {
        "symbol": "BTCUSDT",
        "Api Key": "***",
        "empty_token": "",
        "deep": [{"why": "a ***"}, 1, None, True],
    }
    assert paths == ["Api Key", "deep.0.why"]
    assert masked({SECRET: 1}) == ({"***": 1}, ["***"])


def test_an_object_is_kept_unless_its_text_holds_a_secret() -> None:
    class Hidden:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    harmless, hidden = ValueError("why"), Hidden()
    value = {"error": ValueError(SECRET), "raw": SECRET.encode(), "fine": harmless, "odd": hidden}
    clean, paths = masked(value)
    assert clean == {"error": "ValueError('***')", "raw": "b'***'", "fine": harmless, "odd": hidden}
    assert paths == ["error", "raw"]


def test_a_bottomless_value_is_cut() -> None:
    value: Any = SECRET
    for _ in range(500):
        value = [value]
    assert SECRET not in str(masked(value)[0])


def test_texts_of_rows_are_bounded_and_cut_after_scrubbing() -> None:
    assert len(str(params_text({"text": "x" * 50_000}))) < 1_100
    assert params_text({"text": "x" * 500_000}) == "(a conf of 500012 characters)"
    assert params_text({}) is None
    text = str(error_text(ValueError("x" * 980 + " " + SECRET)))
    assert "sk-" not in text
    assert len(text) < 1_100


@pytest.mark.critical
def test_no_task_sees_a_secret_that_was_typed_into_a_text() -> None:
    params = run_params(RollbackModelParams, {"params": {"reason": f"because of {SECRET}"}})
    assert params.reason == "because of ***"


@pytest.mark.critical
def test_task_logs_are_scrubbed_also_in_stacks_and_notes() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", LOGGING], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [event["event"] for event in events] == [
        "before",
        "token=***",
        "with password=***",
        "it failed",
        "it failed",
    ]
    assert "PLANTED" not in answer.stdout
    assert events[1]["conf"] == {"password": "***", "list": ["***"]}


def test_a_listener_raises_nothing_whatever_it_is_given() -> None:
    on_task_instance_running(task_instance=object())
    on_task_instance_failed(task_instance=SimpleNamespace(state=None), error=ValueError("x"))
