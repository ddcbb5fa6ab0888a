"""Numbers that bound each other: queues and workers, pools and slots, limits and the broker's patience."""

from __future__ import annotations

import configparser
import json
from typing import Any, get_args

import pytest

from dags.wiring.defaults import CPU_POOL, GPU_POOL, PRIORITY, Queue
from include.errors import ConfigurationError
from include.settings import Settings
from ops import compose
from ops.distributed_setup import check_bounds, consumer_timeout_s, distributed_pools
from ops.run_dir import REPOSITORY

WORKERS = {
    "worker-ml": {"ml_training"},
    "worker-analysis": {"bulk_analysis"},
    "worker-backtest": {"backtesting", "optimization"},
    "worker-scheduled": {"scheduled"},
    "worker-critical": {"critical"},
    "worker-gpu": {"ml_training"},
}
BETWEEN_DELIVERY_AND_START_S = 300
END_OF_A_TASK_S = 600
"""What a task may take to end after its limit, generously."""

CONFIG = configparser.ConfigParser(interpolation=None)
CONFIG.read(REPOSITORY / "airflow.cfg")


def of_celery(dag_bag: Any) -> list[Any]:
    """Every task that goes through the broker."""
    return [task for dag in dag_bag.dags.values() for task in dag.tasks if task.executor != "LocalExecutor"]


def test_each_worker_consumes_its_family_of_queues_and_no_other() -> None:
    assert {name: compose.queues_of(service) for name, service in compose.workers().items()} == WORKERS
    assert set(PRIORITY) == set(get_args(Queue))
    without_gpu = [queue for name, queues in WORKERS.items() if name != "worker-gpu" for queue in queues]
    assert sorted(without_gpu) == sorted(PRIORITY)


def test_every_queue_of_every_dag_is_consumed_by_exactly_one_worker(dag_bag: Any) -> None:
    assert len(dag_bag.dags) > 20
    consumed = [queue for name, queues in WORKERS.items() if name != "worker-gpu" for queue in queues]
    for task in of_celery(dag_bag):
        assert consumed.count(task.queue) == 1, f"{task.dag_id}.{task.task_id}"


def test_every_task_of_the_queue_critical_runs_beside_the_scheduler(dag_bag: Any) -> None:
    watchmen = [task for dag in dag_bag.dags.values() for task in dag.tasks if task.queue == "critical"]
    assert watchmen
    assert {task.executor for task in watchmen} == {"LocalExecutor"}


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"TRADING_OPS_MAX_CONCURRENT_TRAININGS": "4"},
        {"TRADING_OPS_GPU_COUNT": "2", "TRADING_OPS_CPU_TRAINING_WORKERS": "0", "COMPOSE_PROFILES": "gpu"},
    ],
    ids=["as shipped", "four trainings at once", "two GPUs"],
)
def test_the_slots_that_can_feed_a_worker_never_exceed_its_slots(
    dag_bag: Any, chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what waits waits in Airflow, where it is counted and ordered, and does not age in the broker."""
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    pools = distributed_pools(settings)
    has_gpu = settings.gpu_count > 0
    feeding: dict[str, set[str]] = {}
    for task in of_celery(dag_bag):
        pool = GPU_POOL if has_gpu and task.pool == CPU_POOL else task.pool  # as dags.wiring.defaults.training_pool
        feeding.setdefault(task.queue, set()).add(pool)
    idle = "worker-ml" if has_gpu else "worker-gpu"
    for name, service in compose.workers().items():
        if name == idle:
            continue
        fed_by = set().union(*(feeding.get(queue, set()) for queue in compose.queues_of(service)))
        slots = compose.slots(service, chosen)
        assert sum(pools[pool]["slots"] for pool in fed_by) <= slots, f"{name} has {slots}, fed by {fed_by}"


def test_a_training_has_a_slot_of_its_own(dag_bag: Any) -> None:
    settings = Settings()
    assert settings.max_concurrent_trainings == 2
    assert compose.slots(compose.workers()["worker-ml"], {}) == distributed_pools(settings)[CPU_POOL]["slots"] == 2
    assert {task.pool for task in of_celery(dag_bag) if task.queue == "ml_training"} == {CPU_POOL}


def test_cpu_workers_can_be_left_out_where_gpus_train() -> None:
    replicas = compose.services()["worker-ml"]["deploy"]["replicas"]
    assert compose.filled(replicas, {}) == "1"
    assert compose.filled(replicas, {"TRADING_OPS_CPU_TRAINING_WORKERS": "0"}) == "0"


def test_workers_that_shrink_at_rest_grow_to_all_their_slots() -> None:
    growing = [service["environment"] for service in compose.workers().values()
               if "AIRFLOW__CELERY__WORKER_AUTOSCALE" in service["environment"]]  # fmt: skip
    assert len(growing) == 3
    for environment in growing:
        most, least = map(int, environment["AIRFLOW__CELERY__WORKER_AUTOSCALE"].split(","))
        assert most == int(environment["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
        assert 0 < least < most


def test_parallelism_is_above_the_sum_of_the_pools() -> None:
    slots = sum(pool["slots"] for pool in distributed_pools(Settings()).values())
    assert CONFIG.getint("core", "parallelism") > slots


def test_the_broker_waits_longer_than_any_task_may_take(dag_bag: Any) -> None:
    longest = max(task.execution_timeout.total_seconds() for task in of_celery(dag_bag))
    assert longest == Settings().training_hard_limit_s
    assert consumer_timeout_s() >= longest + BETWEEN_DELIVERY_AND_START_S + END_OF_A_TASK_S


def test_numbers_that_do_not_fit_are_refused_before_anything_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    check_bounds(Settings(), CONFIG.getint("core", "parallelism"))
    with pytest.raises(ConfigurationError, match=r"AIRFLOW__CORE__PARALLELISM"):
        check_bounds(Settings(), 16)
    monkeypatch.setenv("TRADING_OPS_TRAINING_HARD_LIMIT_S", "14400")
    with pytest.raises(ConfigurationError, match="consumer_timeout"):
        check_bounds(Settings(), CONFIG.getint("core", "parallelism"))


def test_a_worker_that_is_told_to_stop_has_time_to_finish_what_it_has_begun(dag_bag: Any) -> None:
    for name, service in compose.workers().items():
        limits = [
            task.execution_timeout.total_seconds()
            for task in of_celery(dag_bag)
            if task.queue in compose.queues_of(service)
        ]
        assert compose.seconds(service["stop_grace_period"]) > max(limits, default=0), name
        assert service["environment"]["DUMB_INIT_SETSID"] == "0", "the signal must not reach the tasks themselves"


def test_a_dead_workers_task_is_missed_before_it_gives_itself_up() -> None:
    """Somebody else takes over first; else a moment without the API server would cost every running task."""
    attempts = CONFIG.getint("workers", "execution_api_retries")
    pauses = sum(2**at for at in range(attempts - 1))
    gives_up_s = CONFIG.getint("workers", "max_failed_heartbeats") * (
        CONFIG.getint("workers", "min_heartbeat_interval") + pauses
    )
    missed_s = CONFIG.getint("scheduler", "task_instance_heartbeat_timeout")
    looked_for_s = CONFIG.getint("scheduler", "task_instance_heartbeat_timeout_detection_interval")
    assert missed_s < gives_up_s
    assert missed_s + looked_for_s + Settings().infra_retry_delay_s < 60, "back within a minute"


def test_the_publish_retries_outlast_a_restart_of_the_broker() -> None:
    policy = json.loads(CONFIG["celery"]["extra_celery_config"])["task_publish_retry_policy"]
    lasts_s = policy["max_retries"] * policy["interval_max"]
    assert lasts_s > 120
    assert CONFIG.getint("celery", "task_publish_max_retries") * CONFIG.getfloat("celery", "operation_timeout") > 300


def test_celery_is_what_the_specification_asks_for(ask_airflow: Any) -> None:
    conf = ask_airflow(
        "import json, os\n"
        "os.environ['AIRFLOW__CELERY__BROKER_URL'] = 'amqp://u:p@localhost:1/v'\n"
        "os.environ['AIRFLOW__CELERY__RESULT_BACKEND'] = 'redis://:p@localhost:1/0'\n"
        "from airflow.providers.celery.executors.celery_executor_utils import app\n"
        "names = ('task_serializer result_serializer accept_content timezone enable_utc task_acks_late'\n"
        "         ' task_track_started worker_prefetch_multiplier task_default_delivery_mode'\n"
        "         ' broker_transport_options').split()\n"
        "said = {name: app.conf[name] for name in names}\n"
        "said['expires_s'] = getattr(app.conf.result_expires, 'total_seconds', lambda: app.conf.result_expires)()\n"
        "queue = app.amqp.queues['scheduled']\n"
        "said['queue'] = [queue.durable, queue.auto_delete, queue.queue_arguments]\n"
        "print(json.dumps(said))"
    )
    assert conf == {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "enable_utc": True,
        "task_acks_late": True,
        "task_track_started": True,
        "worker_prefetch_multiplier": 1,
        "task_default_delivery_mode": 2,
        "broker_transport_options": {"confirm_publish": True},
        "expires_s": 7 * 24 * 3600,
        "queue": [True, False, None],
    }


# --- three RabbitMQ nodes


def test_the_cluster_keeps_what_airflow_cfg_says_and_asks_for_quorum_queues(ask_airflow: Any) -> None:
    environment = compose.services(compose.CLUSTER)["scheduler"]["environment"]
    extra = json.loads(environment["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert extra.items() >= json.loads(CONFIG["celery"]["extra_celery_config"]).items()
    declared = ask_airflow(
        "import json, os\n"
        f"os.environ['AIRFLOW__CELERY__EXTRA_CELERY_CONFIG'] = {json.dumps(extra)!r}\n"
        "os.environ['AIRFLOW__CELERY__BROKER_URL'] = 'amqp://u:p@localhost:1/v'\n"
        "os.environ['AIRFLOW__CELERY__RESULT_BACKEND'] = 'redis://:p@localhost:1/0'\n"
        "from airflow.providers.celery.executors.celery_executor_utils import app\n"
        "from celery.utils.quorum_queues import detect_quorum_queues\n"
        "arguments = app.amqp.queues['scheduled'].queue_arguments\n"
        "print(json.dumps([arguments, detect_quorum_queues(app, 'amqp')[0], app.conf.worker_detect_quorum_queues]))"
    )
    assert declared == [{"x-queue-type": "quorum"}, True, True]


def test_whoever_talks_to_the_broker_knows_all_nodes() -> None:
    base, cluster = compose.services(), compose.services(compose.CLUSTER)
    variable = "AIRFLOW__CELERY__BROKER_URL"
    talkers = {name for name, service in base.items() if variable in service.get("environment", {})}
    for name in talkers:
        addresses = cluster[name]["environment"][variable].split(";")
        assert [address.rpartition("@")[2] for address in addresses] == [
            f"{node}:5672/trading_ops" for node in ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
        ], name
    conf = (REPOSITORY / "config" / "rabbitmq" / "cluster.conf").read_text()
    assert all(f"rabbit@{node}\n" in conf for node in ("rabbitmq", "rabbitmq-2", "rabbitmq-3"))
