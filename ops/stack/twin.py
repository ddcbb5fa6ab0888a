"""The native twin of docker-compose.yaml: which process each service is here, and with which environment.

Nothing about a service is said twice: its command, environment and number come from the Compose file. Here stands only
what being a process among others, instead of a container, changes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from dotenv import dotenv_values

from ops import compose, ports
from ops.deployment_env import TO_FILL_IN, completed
from ops.environment import CONNECTION_PREFIX, OPENAI_KEY, wants_sandbox
from ops.files import read_json, write_text
from ops.processes import marked
from ops.run_dir import REPOSITORY, RUN_DIR_VARIABLE, RunDir
from ops.secret_values import ADMIN_PASSWORD
from ops.stack import addresses
from ops.stack.addresses import HOST, native, native_environment

DEFAULT = REPOSITORY / ".run-stack"
BUNDLE_PREFIX = "TRADING_OPS_"
SPEC_ENDPOINTS = "TRADING_OPS_SANDBOX_SPEC_ENDPOINTS"
"""1: engine and AI service of the sandbox also have what only the specification describes."""

NOT_HERE: dict[str, str] = {
    "statsd-exporter": "no package of Debian has it; Airflow sends its figures to a port where nobody listens",
    "grafana": "no package of Debian has it",
    "alertmanager": "its mail server must speak TLS; amtool checks its routes",
    "worker-gpu": "a profile, for machines with GPUs",
    "backup": "a profile: `python -m ops.backup`",
}
"""Services without a process here, and why."""

ENDS_BY_ITSELF = "airflow-init"


def run_dir_from_environment() -> RunDir:
    """Return the folder that `TRADING_OPS_RUN_DIR` names, by default `.run-stack` in the repository."""
    return RunDir.at(os.environ.get(RUN_DIR_VARIABLE) or DEFAULT)


@dataclass(frozen=True)
class Twin:
    """One native stack: its folder, its ports by Compose's addresses, and what the Compose file is filled in with."""

    run_dir: RunDir
    ports: dict[str, int]
    secrets: dict[str, str] = field(repr=False)
    caller: dict[str, str] = field(repr=False)

    @classmethod
    def describe(cls, run_dir: RunDir, *, running: bool = False) -> tuple[Twin, list[str]]:
        """Make or read the stack in `run_dir`; as :meth:`ops.environment.Environment.prepare`."""
        run_dir.create()
        existing = run_dir.secrets_file.read_text(encoding="utf-8") if run_dir.secrets_file.exists() else ""
        text = completed(existing)
        if text != existing:
            write_text(run_dir.secrets_file, text, mode=0o600)
        known = {
            name: value for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items() if value
        }
        names = (*addresses.ADDRESSES, *ports.SANDBOX)
        chosen = ports.load_or_choose(run_dir.environment_file, keep=running, names=names)
        return cls(run_dir, chosen, known, dict(os.environ)), [] if existing else [ADMIN_PASSWORD]

    @property
    def base_url(self) -> str:
        """Where the UI and the REST API answer."""
        return f"http://{HOST}:{self.ports[addresses.API]}"

    @property
    def admin_password(self) -> str:
        """The password of the user `admin`."""
        return self.secrets[ADMIN_PASSWORD]

    @property
    def uses_sandbox(self) -> bool:
        """Whether the stand-ins are started; `TRADING_OPS_SANDBOX=0` leaves them out."""
        return wants_sandbox(self.caller)

    def sandbox(self) -> dict[str, Any]:
        """Return what the sandbox wrote about itself (nothing without one)."""
        return read_json(self.run_dir.sandbox_file) if self.uses_sandbox else {}

    def filling(self) -> dict[str, str]:
        """Return what fills in the Compose file's variables.

        The sandbox's addresses win over the caller's: a `.env` beside the Compose file names real services, and a real
        engine is nothing for a trial. Passwords are the folder's own, since its databases were made with them.
        """
        caller = {name: value for name, value in self.caller.items() if value and name != RUN_DIR_VARIABLE}
        sandbox: Mapping[str, str] = self.sandbox().get("env", {})
        if self.uses_sandbox:
            caller = {n: v for n, v in caller.items() if not n.startswith(CONNECTION_PREFIX) and n != OPENAI_KEY}
        filled_in = {**dict.fromkeys(TO_FILL_IN, ""), **caller, **self.secrets, **sandbox}
        return filled_in | {"AIRFLOW__API__BASE_URL": self.base_url}

    def replicas(self, name: str) -> int:
        """Return how many processes the service has."""
        return compose.replicas(compose.services()[name], self.filling())

    def components(self) -> dict[str, str]:
        """Return the name of every process that stays, with its service: `worker-ml`, `worker-ml-2` of `worker-ml`."""
        named = {}
        for name in compose.services():
            if name not in NOT_HERE and name != ENDS_BY_ITSELF:
                for number in range(1, self.replicas(name) + 1):
                    named[name if number == 1 else f"{name}-{number}"] = name
        return named

    def command(self, service: str, component: str) -> list[str]:
        """Return the command of a service that runs this project's image."""
        words = [self._here(word) for word in compose.command_of(compose.services()[service], self.filling())]
        programs = {"airflow": [sys.executable, "-m", "airflow"], "python": [sys.executable]}
        command = [*programs[words[0]], *words[1:]]
        if service in compose.workers():  # a container has a host name of its own
            command += ["--celery-hostname", f"{component}@%h"]
        if service == "metrics":
            command[command.index("--host") + 1] = HOST
            command[command.index("--port") + 1] = str(self.ports[addresses.METRICS])
        return command

    def said(self, service: str) -> dict[str, str]:
        """Return the environment that the Compose file gives the service, with its addresses and folders here."""
        given = compose.environment_of(compose.services()[service], self.filling())
        return {name: self._here(value) for name, value in native_environment(given, self.ports).items()}

    def added(self, service: str, component: str) -> dict[str, str]:
        """Return what a process has besides: the image's own variables, and a port and a folder that nobody shares."""
        home = self.run_dir.path / "homes" / component
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # a laptop's DNS may not know it
            "TRADING_OPS_ROOT": str(REPOSITORY),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
        }
        ports_of: dict[str, dict[str, str]] = {
            "api-server": {
                "AIRFLOW__API__HOST": HOST,
                "AIRFLOW__API__PORT": str(self.ports[addresses.API]),
            },
            "scheduler": {
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports[addresses.SCHEDULER]),
            },
            "flower": {
                "AIRFLOW__CELERY__FLOWER_HOST": HOST,
                "AIRFLOW__CELERY__FLOWER_PORT": str(self.ports[addresses.FLOWER]),
            },
        }
        return own | ports_of.get(service, {})

    def variables(self, service: str, component: str) -> dict[str, str]:
        """Return the whole environment of a process.

        Of the caller's own only what no service of the bundle reads, and Airflow's options: the rest goes through the
        Compose file, so that what that forgets to pass on is missing here, too.
        """
        added = self.added(service, component)
        caller = {n: v for n, v in self.caller.items() if not self._is_passed_on_by_compose(n)}
        caller["PYTHONPATH"] = os.pathsep.join(filter(None, [added["PYTHONPATH"], self.caller.get("PYTHONPATH")]))
        everything = {**caller, **self.said(service), **{n: v for n, v in added.items() if n != "PYTHONPATH"}}
        return marked(everything, self.run_dir.path, component)

    def for_strangers(self, component: str) -> dict[str, str]:
        """Return the environment of a server that is not Airflow's: no secrets of ours in it."""
        caller = {n: v for n, v in self.caller.items() if not self._is_passed_on_by_compose(n)}
        return marked({**caller, "PYTHONPATH": str(REPOSITORY)}, self.run_dir.path, component)

    @staticmethod
    def _is_passed_on_by_compose(name: str) -> bool:
        return name.startswith((BUNDLE_PREFIX, CONNECTION_PREFIX)) or name == OPENAI_KEY

    def _here(self, text: str) -> str:
        folders = {"/var/lib/trading-ops": self.run_dir.state, "/opt/airflow/logs": self.run_dir.path / "task-logs"}
        for there, here in folders.items():
            if text == there:
                return str(here)
        return native(text, self.ports)

    def mongo_uri(self) -> str:
        """Return the address of the bundle's database, with its login: for tests and tools on this machine."""
        mongo = json.loads(self.said(ENDS_BY_ITSELF)["AIRFLOW_CONN_MONGO_DEFAULT"])
        login, extra = f"{mongo['login']}:{mongo['password']}", mongo["extra"]
        options = f"authSource={extra['authSource']}&replicaSet={extra['replicaSet']}"
        return f"mongodb://{login}@{mongo['host']}:{mongo['port']}/?{options}"
