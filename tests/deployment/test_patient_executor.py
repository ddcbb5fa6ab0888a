"""The executor of the distributed mode with nobody at the broker's and at the result backend's address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dags.wiring.message_summary import summary
from ops import compose
from sandbox.mongod import free_port
from sandbox.rabbitmq import start_rabbitmq
from sandbox.redis_server import start_redis

SET_UP = """
import json, os
from types import SimpleNamespace
os.environ["AIRFLOW__CELERY__BROKER_URL"] = "{broker}"
os.environ["AIRFLOW__CELERY__RESULT_BACKEND"] = "{results}redis://127.0.0.1:{redis_port}/0"
os.environ["AIRFLOW__CELERY__OPERATION_TIMEOUT"] = "0.3"
from airflow.executors.executor_loader import ExecutorLoader
from airflow.models.taskinstancekey import TaskInstanceKey
from celery.result import AsyncResult
os.environ["AIRFLOW__CORE__EXECUTOR"] = {executors!r}
first = ExecutorLoader.get_default_executor_name()
executor = ExecutorLoader.load_executor(first)
keys = [TaskInstanceKey("dag", "task", "run", 1, number) for number in range(3)]
def ti(number, sent, queue="empty", state="queued", next_method=None):
    return SimpleNamespace(
        key=keys[number], external_executor_id=sent, queue=queue, state=state, next_method=next_method
    )
"""


SEND = """
workload = SimpleNamespace(ti=SimpleNamespace(external_executor_id="x"), model_dump_json=lambda: "{}")
executor.queued_tasks.update(dict.fromkeys(keys, workload))
for a_round in range(2):
    executor._send_workloads([(key, workload, "scheduled", None) for key in keys])
failed = [str(state) for state, _ in executor.event_buffer.values()]
print(json.dumps([list(executor.workload_publish_retries.values()), len(executor.queued_tasks), failed]))
"""


def ask(ask_airflow: Any, code: str, redis_port: int | None = None, broker: str | None = None) -> Any:
    shipped = compose.parsed()["x-airflow"]
    results, _, address = shipped["AIRFLOW__CELERY__RESULT_BACKEND"].partition("redis://")
    assert address
    return ask_airflow(
        SET_UP.format(
            broker=broker or f"amqp://u:p@127.0.0.1:{free_port()}/v",
            results=results,
            redis_port=redis_port or free_port(),
            executors=shipped["AIRFLOW__CORE__EXECUTOR"],
        )
        + code
    )


def test_the_first_task_that_cannot_be_sent_ends_the_round_and_the_next_one_waits(
    ask_airflow: Any, tmp_path: Path
) -> None:
    redis = start_redis(tmp_path)
    try:
        tried, left, failed = ask(ask_airflow, SEND, redis.port)
    finally:
        redis.stop()
    assert tried == [1], "one attempt, of one task, in two rounds"
    assert left == 3, "all wait for a later round"
    assert failed == []


def test_nothing_is_sent_that_a_worker_could_not_begin(ask_airflow: Any) -> None:
    tried, left, failed = ask(ask_airflow, SEND)
    assert tried == []
    assert left == 3
    assert failed == []


def test_the_scheduler_survives_a_result_backend_that_is_away(ask_airflow: Any) -> None:
    asked, unknown, running, adopted = ask(
        ask_airflow,
        """
executor.workloads[keys[0]] = AsyncResult("one", app=executor.celery_app)
executor.sync()
executor.sync()
keys.append(TaskInstanceKey("dag", "task", "run", 1, 3))
tis = [ti(1, "two", state="running"), ti(2, None), ti(3, "never sent")]
unknown = executor.try_adopt_task_instances(tis)
print(json.dumps([
    len(executor.workloads) == 2, [ti.key.map_index for ti in unknown], keys[1] in executor.running,
    executor.workloads[keys[1]].task_id,
]))
""",
    )
    assert asked
    assert unknown == [2, 3], "only what nobody has sent is started anew"
    assert running
    assert adopted == "two"


ADOPT = """
from kombu import Connection
backend = executor.celery_app.backend
backend.store_result("begun", None, "STARTED")
if {sends}:
    with executor.celery_app.connection_for_write() as connection:
        queue = connection.SimpleQueue("busy")
        queue.put("one that waits")
        queue.close()
keys = [TaskInstanceKey("dag", "task", "run", 1, number) for number in range(6)]
tis = [
    ti(0, "never sent"), ti(1, "in a queue", "busy"), ti(2, "begun"), ti(3, "at work", state="running"),
    ti(4, "goes on", next_method="resume"), ti(5, None),
]
unsent = executor.try_adopt_task_instances(tis)
print(json.dumps([
    sorted(str(ti.external_executor_id) for ti in unsent),
    sorted(result.task_id for result in executor.workloads.values()),
    sorted(key.map_index for key in executor.running),
]))
"""


def test_what_a_dead_scheduler_never_sent_is_started_anew(ask_airflow: Any, tmp_path: Path) -> None:
    redis, node = start_redis(tmp_path), start_rabbitmq(tmp_path / "rabbitmq")
    try:
        unsent, adopted, running = ask(ask_airflow, ADOPT.replace("{sends}", "True"), redis.port, node.url)
    finally:
        node.stop(timeout_s=0)
        redis.stop()
    assert unsent == ["None", "never sent"]
    assert adopted == ["at work", "begun", "goes on", "in a queue"]
    assert running == [1, 2, 3, 4]


def test_what_may_not_have_been_sent_is_started_anew_while_the_broker_is_away(ask_airflow: Any, tmp_path: Path) -> None:
    """A worker that gets the old message after all is refused: the task has a new id then."""
    redis = start_redis(tmp_path)
    try:
        unsent, adopted, _ = ask(ask_airflow, ADOPT.replace("{sends}", "False"), redis.port)
    finally:
        redis.stop()
    assert unsent == ["None", "in a queue", "never sent"]
    assert adopted == ["at work", "begun", "goes on"]


def test_states_are_asked_for_and_nobody_subscribes_to_what_was_sent(ask_airflow: Any, tmp_path: Path) -> None:
    redis = start_redis(tmp_path)
    try:
        channels, states = ask(
            ask_airflow,
            """
from kombu import Connection
backend = executor.celery_app.backend
with Connection("memory://") as connection:
    sent = [
        executor.celery_app.tasks["execute_workload"].apply_async(args=("{}",), queue="q", connection=connection)
        for _ in range(3)
    ]
backend.store_result(sent[0].id, None, "SUCCESS")
channels = backend.client.pubsub_channels()
states = executor.bulk_state_fetcher.get_many(sent)
print(json.dumps([[channel.decode() for channel in channels], [states[one.id][0] for one in sent]]))
""",
            redis.port,
        )
    finally:
        redis.stop()
    assert channels == []
    assert states == ["SUCCESS", "PENDING", "PENDING"]


@pytest.mark.parametrize(("ended_by", "waits_s", "code"), [("OSError()", 30, 1), ("SystemExit(0)", 1, 7)])
def test_only_a_scheduler_that_crashed_is_ended_while_it_waits(
    ask_airflow: Any, ended_by: str, waits_s: int, code: int
) -> None:
    """One that was asked to end finishes its waiting, and what it does after it: here, to end with code 7."""
    ended_with = ask(
        ask_airflow,
        f"""
import time
import dags.wiring.patient_executor as module
module.ENDS_WITHIN_S = 0.2
child = os.fork()
if child == 0:
    try:
        raise {ended_by}
    finally:
        executor.end()
        time.sleep({waits_s})
        os._exit(7)
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
""",
    )
    assert ended_with == code


def test_what_others_are_told_of_a_message_is_its_task_and_no_token(ask_airflow: Any) -> None:
    """Sent through Celery's own broker in memory: the header is what its events and Flower show."""
    header, message = ask(
        ask_airflow,
        """
from kombu import Connection
message = '{"token": "eyJ.secret.x", "ti": {"id": "4f", "dag_id": "train_model", "task_id": "admit", "hostname": "h"}}'
with Connection("memory://") as connection:
    executor.celery_app.tasks["execute_workload"].apply_async(
        args=(message,), queue="q", connection=connection, ignore_result=True
    )
    taken = connection.SimpleQueue("q").get(timeout=5)
print(json.dumps([taken.headers["argsrepr"], taken.payload[0][0]]))
""",
    )
    assert json.loads(header) == {"ti": {"id": "4f", "dag_id": "train_model", "task_id": "admit"}}
    assert "eyJ.secret.x" in message, "the worker has it"


@pytest.mark.parametrize(
    "body", [None, {"args": ["secret"]}, ((), {}, {}), (("no JSON",),), (('{"type": "ExecuteCallback"}',),), (("[]",),)]
)
def test_a_message_of_another_kind_says_nothing(body: Any) -> None:
    assert summary(body) == '{"ti":{}}'
