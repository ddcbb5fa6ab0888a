"""The stack's servers as processes of this machine, each with what docker-compose.yaml gives its container."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ops import compose
from ops.distributed_setup import RABBITMQ_FILE, ROOT_PASSWORD, ROOT_USER
from ops.files import write_text
from ops.processes import spawn
from ops.run_dir import REPOSITORY
from ops.stack import addresses
from ops.stack.addresses import HOST, native
from ops.stack.twin import Twin
from ops.supervisor import Component
from sandbox.mongod import create_root, start_mongod
from sandbox.postgres import start_postgres
from sandbox.rabbitmq import Login, start_rabbitmq
from sandbox.redis_server import start_redis

ENABLED_PLUGINS = REPOSITORY / "config" / "rabbitmq" / "enabled_plugins"
PROMETHEUS_FOLDER = REPOSITORY / "config" / "prometheus"
MONGOD_OPTIONS_THERE = ("--bind_ip_all",)
"""What only a container may say: here everything listens on 127.0.0.1 alone."""


def servers(twin: Twin) -> list[Component]:
    """Return what Airflow keeps its data in, as components."""

    def component(name: str, start: Callable[[Twin], subprocess.Popen[bytes]], log: Path, **options: Any) -> Component:
        return Component(name, partial(start, twin), log, grace_s=30.0, **options)

    folder = twin.run_dir.path
    return [
        # An interrupt ends PostgreSQL at once; SIGTERM would wait for every client to leave.
        component("postgres", _postgres, folder / "postgres" / "postgres.log", end_signal=signal.SIGINT),
        component("rabbitmq", _rabbitmq, folder / "rabbitmq" / "rabbitmq.log", end_group=True),
        component("redis", _redis, folder / "redis" / "redis.log"),
        component("mongodb", _mongodb, twin.run_dir.mongo / "mongod.log"),
    ]


def prometheus(twin: Twin) -> Component:
    """Return Prometheus with the shipped configuration and rules, its targets at their addresses here."""
    folder = twin.run_dir.path / "prometheus"
    log = twin.run_dir.log("prometheus")

    def start() -> subprocess.Popen[bytes]:
        (folder / "rules").mkdir(parents=True, exist_ok=True)
        for file in PROMETHEUS_FOLDER.rglob("*.yml"):
            text = native(file.read_text(encoding="utf-8"), twin.ports)
            write_text(folder / file.relative_to(PROMETHEUS_FOLDER), text)
        command = [
            "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{twin.ports[addresses.PROMETHEUS]}",
        ]  # fmt: skip
        return spawn(command, twin.for_strangers("prometheus"), log)

    return Component("prometheus", start, log, grace_s=20.0)


def _postgres(twin: Twin) -> subprocess.Popen[bytes]:
    said = twin.said("postgres")
    return start_postgres(
        twin.run_dir.path / "postgres",
        twin.ports[addresses.POSTGRES],
        twin.for_strangers("postgres"),
        user=said["POSTGRES_USER"],
        password=said["POSTGRES_PASSWORD"],
        database=said["POSTGRES_DB"],
    ).process


def _rabbitmq(twin: Twin) -> subprocess.Popen[bytes]:
    said = twin.said("rabbitmq")
    figures = f"prometheus.tcp.ip = {HOST}\nprometheus.tcp.port = {twin.ports[addresses.RABBITMQ_FIGURES]}\n"
    return start_rabbitmq(
        twin.run_dir.path / "rabbitmq",
        twin.ports[addresses.RABBITMQ],
        twin.for_strangers("rabbitmq"),
        management=True,
        management_port=twin.ports[addresses.RABBITMQ_MANAGEMENT],
        login=Login(said["RABBITMQ_DEFAULT_USER"], said["RABBITMQ_DEFAULT_PASS"], said["RABBITMQ_DEFAULT_VHOST"]),
        config=RABBITMQ_FILE.read_text(encoding="utf-8") + figures,
        plugins=re.findall(r"\w+", ENABLED_PLUGINS.read_text(encoding="utf-8")),
    ).process


def _redis(twin: Twin) -> subprocess.Popen[bytes]:
    password = twin.said("redis")["REDIS_PASSWORD"]
    return start_redis(
        twin.run_dir.path / "redis",
        twin.ports[addresses.REDIS],
        twin.for_strangers("redis"),
        config=redis_config(password),
        password=password,
    ).process


def redis_config(password: str) -> str:
    """Return the `redis.conf` that the container's command writes.

    :raises ValueError: when the command is not the one that this was made for.
    """
    script = compose.services()["redis"]["command"][-1]
    found = re.search(r"printf '([^']*)' \"\$\$REDIS_PASSWORD\"", script)
    if found is None or found[1].count("%s") != 1:
        raise ValueError(f"docker-compose.yaml starts Redis in a way that is not understood here: {script!r}")
    return found[1].replace("\\n", "\n") % password


def _mongodb(twin: Twin) -> subprocess.Popen[bytes]:
    folder, variables = twin.run_dir.mongo, twin.for_strangers("mongodb")
    keyfile = folder / "keyfile"
    if not keyfile.exists():
        create_root(folder, ROOT_USER, twin.secrets[ROOT_PASSWORD], variables)
        write_text(keyfile, twin.secrets["MONGO_KEYFILE"], mode=0o400)
    said = [word for word in compose.services()["mongodb"]["command"] if word not in MONGOD_OPTIONS_THERE]
    options = (*said, "--keyFile", str(keyfile))
    return start_mongod(folder, twin.ports[addresses.MONGODB], variables, options).process
