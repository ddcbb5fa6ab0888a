"""Rules, routes, mappings and dashboards: each passes its own checker, and speaks of figures that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import compose
from ops.dashboards import DASHBOARDS, FOLDER, render
from ops.run_dir import REPOSITORY

CONFIG = REPOSITORY / "config"
RULES = sorted((CONFIG / "prometheus" / "rules").glob("*.yml"))
PROMETHEUS = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yml").read_text())
ALERTS_TEST = Path(__file__).with_name("alerts.promtest.yml")

# What RabbitMQ's plugin and Prometheus itself call their figures (RabbitMQ: its manual, "Monitoring with Prometheus").
OF_OTHERS = {
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_connections",
    "up",
    "ALERTS",
}
WORDS = {
    "absent", "and", "by", "count", "histogram_quantile", "increase", "label_replace", "on", "or", "rate", "sum",
    "time", "vector", "without",
}  # fmt: skip


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[name]
        missing = f"no {name}: `make servers` installs it as root (Debian, Ubuntu: apt-get install {package})"
        if os.environ.get("CI"):  # there it has been installed; a check that is skipped looks like one that passed
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def rules() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    return [
        target["expr"]
        for file in sorted(FOLDER.glob("*.json"))
        for panel in json.loads(file.read_text())["panels"]
        for target in panel["targets"]
    ]


def names_in(query: str) -> set[str]:
    """The figures that a query names: no texts, labels, durations, functions."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|#.*', " ", query)
    bare = re.sub(r"\b(by|on|without)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-zA-Z_]\w*\b", bare)) - WORDS


def mapped_names() -> set[str]:
    """What the StatsD exporter makes of Airflow's figures."""
    pools = ("open", "queued", "running", "deferred", "scheduled")
    places = {
        "airflow_pool_$1": [*(f"airflow_pool_{kind}_slots" for kind in pools), "airflow_pool_starving_tasks"],
        "airflow_executor_$1": [f"airflow_executor_{kind}" for kind in ("open_slots", "queued_tasks", "running_tasks")],
    }
    names: set[str] = set()
    for mapping in yaml.safe_load((CONFIG / "statsd" / "mapping.yml").read_text())["mappings"]:
        for name in places.get(mapping["name"], [mapping["name"]]):
            names |= {name, *(f"{name}_{part}" for part in ("bucket", "count", "sum"))}
    return names


@pytest.fixture(scope="module")
def known_names() -> set[str]:
    ours = {
        name
        for file in [*(REPOSITORY / "include" / "metrics").glob("*.py"), REPOSITORY / "ops" / "metrics_exporter.py"]
        for name in re.findall(r'"(trading_ops_\w+)"', file.read_text())
    }
    ours |= {f"trading_ops_champion_{figure}" for figure in ("accuracy", "baseline_accuracy", "skill")}
    import flower

    flowers = set(re.findall(r"'(flower_\w+)'", (Path(flower.__file__).parent / "events.py").read_text()))
    assert len(flowers) > 4
    return ours | flowers | mapped_names() | OF_OTHERS | {rule["record"] for rule in rules() if "record" in rule}


def test_prometheus_takes_its_configuration_and_rules() -> None:
    answer = run(tool("promtool"), "check", "config", CONFIG / "prometheus" / "prometheus.yml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    answer = run(tool("promtool"), "check", "rules", *RULES)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    answer = run(tool("promtool"), "test", "rules", ALERTS_TEST)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_has_a_test_a_severity_and_says_what_to_do() -> None:
    tested = set(re.findall(r"alertname: (\w+)", ALERTS_TEST.read_text()))
    for rule in rules():
        if "alert" in rule:
            assert rule["alert"] in tested
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "action"}


def test_the_worker_alert_knows_every_queue() -> None:
    (alert,) = [rule for rule in rules() if rule.get("alert") == "WorkerDown"]
    expected = set().union(*map(compose.queues_of, compose.workers().values()))
    assert set(re.findall(r'vector\(0\), "queue", "(\w+)"', alert["expr"])) == expected


def test_rules_speak_of_figures_that_exist(known_names: set[str]) -> None:
    for rule in rules():
        assert names_in(rule["expr"]) <= known_names, rule


def test_a_figure_that_nobody_has_is_noticed(known_names: set[str]) -> None:
    assert names_in('sum by (queue) (trading_ops_queue_wating{what="x"}) > 1') - known_names == {
        "trading_ops_queue_wating"
    }


def test_dashboards_speak_of_figures_that_exist_in_queries_that_are_valid(
    known_names: set[str], tmp_path: Path
) -> None:
    queries = dashboard_queries()
    assert len(queries) > 30
    for query in queries:
        assert names_in(query) <= known_names, query
    file = tmp_path / "rules.yml"
    recorded = [{"record": f"dashboard:{at}", "expr": query} for at, query in enumerate(queries)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": recorded}]}))
    answer = run(tool("promtool"), "check", "rules", file)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_dashboards_are_what_their_code_says() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(DASHBOARDS)
    for name in DASHBOARDS:
        assert (FOLDER / f"{name}.json").read_text() == render(name), "run: python -m ops.dashboards"


def test_grafana_finds_its_source_and_dashboards_where_compose_puts_them() -> None:
    source = yaml.safe_load((CONFIG / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((CONFIG / "grafana/provisioning/dashboards/trading-ops.yml").read_text())["providers"][0]
    mounts = [volume.split(":")[1] for volume in compose.services()["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
    assert source["url"] == "http://prometheus:9090"
    used = {target["datasource"]["uid"] for name in DASHBOARDS
            for panel in json.loads(render(name))["panels"] for target in panel["targets"]}  # fmt: skip
    assert used == {source["uid"]}


def test_prometheus_asks_services_of_the_topology() -> None:
    targets = [
        target
        for job in [*PROMETHEUS["scrape_configs"], *PROMETHEUS["alerting"]["alertmanagers"]]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    hosts = {target.partition(":")[0] for target in targets} - {"localhost"}
    assert hosts <= set(compose.services())
    assert {"metrics", "statsd-exporter", "flower", "rabbitmq", "alertmanager"} <= hosts


# --- Alertmanager


@pytest.fixture
def deployment(tmp_path: Path) -> dict[str, str]:
    """An environment of start.sh, with texts that YAML and sed would take for more than texts."""
    (tmp_path / "alert_smtp_password").write_text("p")
    (tmp_path / "alert_slack_webhook").write_text("https://hooks.slack.com/services/x")
    return {
        "SECRETS": str(tmp_path),
        "TARGET": str(tmp_path / "filled.yml"),
        "ALERT_SMTP_SMARTHOST": "mail.example.com:587",
        "ALERT_MAIL_FROM": 'The "Bot" & friends <bot|x@example.com>',
        "ALERT_SMTP_USER": r"domain\user",
        "ALERT_MAIL_TO": "ops@example.com",
        "ALERT_SLACK_CHANNEL": "#alerts",
    }


def start(deployment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("sh", CONFIG / "alertmanager" / "start.sh", "echo", **deployment)


def test_alertmanager_gets_the_deployments_addresses_and_takes_its_configuration(deployment: dict[str, str]) -> None:
    answer = start(deployment)
    assert (answer.returncode, answer.stdout.strip()) == (0, f"--config.file={deployment['TARGET']}")
    filled = yaml.safe_load(Path(deployment["TARGET"]).read_text())
    assert filled["global"]["smtp_from"] == deployment["ALERT_MAIL_FROM"]
    assert filled["global"]["smtp_auth_username"] == deployment["ALERT_SMTP_USER"]
    assert "@ALERT" not in Path(deployment["TARGET"]).read_text()
    checked = run(tool("amtool"), "check-config", deployment["TARGET"])
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "TaskFailedThreeTimes", "severity": "warning", "receiver": "mail"}, "mail"),
        ({"alertname": "QueueDepthHigh", "severity": "warning", "receiver": "slack"}, "slack"),
        ({"alertname": "WorkerDown", "severity": "critical"}, "mail_and_slack"),
        ({"alertname": "DailyCostCritical", "severity": "critical", "receiver": "mail"}, "mail_and_slack"),
        ({"alertname": "AnythingElse", "severity": "warning"}, "mail_and_slack"),
    ],
)
def test_alerts_go_where_the_specification_says(
    deployment: dict[str, str], labels: dict[str, str], receiver: str
) -> None:
    start(deployment)
    pairs = [f"{name}={value}" for name, value in labels.items()]
    answer = run(tool("amtool"), "config", "routes", "test", f"--config.file={deployment['TARGET']}", *pairs)
    assert answer.stdout.strip() == receiver


@pytest.mark.parametrize("missing", ["ALERT_MAIL_TO", "alert_slack_webhook"])
def test_alertmanager_does_not_start_half_configured(deployment: dict[str, str], missing: str) -> None:
    deployment.pop(missing, None)
    Path(deployment["SECRETS"], missing).unlink(missing_ok=True)
    answer = start(deployment)
    assert answer.returncode == 1
    assert missing in answer.stderr
    assert not Path(deployment["TARGET"]).exists()


# --- Airflow's figures


def matches(pattern: str, name: str) -> list[str] | None:
    """What the asterisks stand for, as the StatsD exporter matches: each is one part between dots."""
    found = re.fullmatch(re.escape(pattern).replace(r"\*", "([^.]+)"), name)
    return list(found.groups()) if found else None


def exported(line: str) -> tuple[str, dict[str, str]] | None:
    """The name and labels that a line of StatsD becomes; None when it is dropped."""
    name = line.partition(":")[0]
    for mapping in yaml.safe_load((CONFIG / "statsd" / "mapping.yml").read_text())["mappings"]:
        parts = matches(mapping["match"], name)
        if parts is not None:
            if mapping.get("action") == "drop":
                return None

            def filled(text: str, parts: list[str] = parts) -> str:
                return re.sub(r"\$(\d)", lambda at: parts[int(at[1]) - 1], text)

            return filled(mapping["name"]), {key: filled(text) for key, text in mapping["labels"].items()}
    return name.replace(".", "_"), {}


def test_what_airflow_really_sends_becomes_the_names_that_the_rules_use(ask_airflow: Any) -> None:
    """Airflow's own client and registry of names, over a real socket."""
    lines = ask_airflow(
        "import json, os, socket\n"
        "receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "receiver.bind(('127.0.0.1', 0)); receiver.settimeout(5)\n"
        "os.environ['AIRFLOW__METRICS__STATSD_ON'] = 'True'\n"
        "os.environ['AIRFLOW__METRICS__STATSD_HOST'] = '127.0.0.1'\n"
        "os.environ['AIRFLOW__METRICS__STATSD_PORT'] = str(receiver.getsockname()[1])\n"
        "from airflow.observability.metrics import stats_utils\n"
        "from airflow._shared.observability.metrics import stats\n"
        "from datetime import timedelta\n"
        "stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)\n"
        "task = {'dag_id': 'train_model', 'task_id': 'lstm.train'}\n"
        "took = timedelta(seconds=2)\n"
        "stats.timing('dagrun.duration.success', took, tags={'dag_id': 'train_model', 'run_type': 'manual'})\n"
        "stats.timing('dagrun.duration.failed', took, tags={'dag_id': 'train_model', 'run_type': 'manual'})\n"
        "stats.incr('ti.finish', tags={**task, 'state': 'up_for_retry'})\n"
        "stats.gauge('ti.running', 2, tags={**task, 'queue': 'ml_training'})\n"
        "stats.timing('task.duration', took, tags=task)\n"
        "stats.timing('task.queued_duration', took, tags=task)\n"
        "stats.timing('task.scheduled_duration', took, tags=task)\n"
        "stats.gauge('pool.open_slots', 2, tags={'pool_name': 'cpu_training'})\n"
        "stats.gauge('executor.running_tasks', 2, tags={'executor_class_name': 'CeleryExecutor', 'team_name': None})\n"
        "receiver.settimeout(0.2); lines = []\n"
        "try:\n"
        "    while True: lines.append(receiver.recv(65535).decode())\n"
        "except TimeoutError: print(json.dumps(lines))\n"
    )
    found = [exported(line) for line in lines]
    task = {"dag_id": "train_model", "task_id": "lstm__train"}
    expected = [
        ("celery_task_duration_seconds", {"status": "success", "task_name": "train_model"}),
        ("celery_task_duration_seconds", {"status": "failed", "task_name": "train_model"}),
        ("airflow_task_finished_total", {**task, "state": "up_for_retry"}),
        ("airflow_tasks", {**task, "queue": "ml_training", "state": "running"}),
        ("airflow_task_duration_seconds", task),
        ("airflow_task_queued_seconds", task),
        ("airflow_task_scheduled_seconds", task),
        ("airflow_pool_open_slots", {"pool": "cpu_training"}),
        ("airflow_executor_running_tasks", {"executor": "CeleryExecutor"}),
    ]
    assert [one for one in expected if one not in found] == []
    assert found.count(None) == 2, "the runs' durations without a DAG's name would be counted twice"


# --- Kubernetes


def test_the_autoscaler_asks_for_what_the_specification_says(tmp_path: Path, known_names: set[str]) -> None:
    scaled = yaml.safe_load((CONFIG / "keda" / "worker-analysis.yaml").read_text())["spec"]
    (trigger,) = scaled["triggers"]
    query, behaviour = trigger["metadata"]["query"], scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 10)
    assert [behaviour[way]["policies"][0]["value"] for way in ("scaleUp", "scaleDown")] == [2, 1]
    assert names_in(query.replace("bool", " ")) <= known_names
    expected = {501: 2, 500: 1, 100: 1, 99: 0.5, 0: 0.5}
    cases = [
        {
            "input_series": [{"series": 'celery_queue_depth{queue="bulk_analysis"}', "values": str(depth)}],
            "promql_expr_test": [
                {"expr": query, "exp_samples": [{"labels": '{queue="bulk_analysis"}', "value": factor}]}
            ],
        }
        for depth, factor in expected.items()
    ]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"tests": cases}))
    answer = run(tool("promtool"), "test", "rules", file)
    assert answer.returncode == 0, answer.stdout + answer.stderr
