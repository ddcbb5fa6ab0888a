"""The environment variables of the embedded mode, in one place.

Order, strongest first: what the mode itself fixes (addresses, folders), the caller's environment, `.env`, the
generated secrets, the sandbox's addresses, the sizes of the machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from include.settings import Settings
from ops import ports, secret_values
from ops.files import read_json
from ops.processes import marked
from ops.run_dir import REPOSITORY, RunDir
from ops.sizing import Sizes, usable_cores

CONNECTION_PREFIX = "AIRFLOW_CONN_"
MONGO_VARIABLE = "AIRFLOW_CONN_MONGO_DEFAULT"
SANDBOX_VARIABLE = "TRADING_OPS_SANDBOX"
ENV_FILE_VARIABLE = "TRADING_OPS_ENV_FILE"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_ADDRESS = "TRADING_OPS_OPENAI_BASE_URL"
ADMIN_NAME = "admin"
UI_PORT = 8080


def load_dotenv() -> None:
    """Add the variables of `.env` (or of the file `TRADING_OPS_ENV_FILE`) to this process's environment.

    What is set already stays. Variables without a value count as not set.
    """
    path = Path(os.environ.get(ENV_FILE_VARIABLE) or REPOSITORY / ".env")
    if path.is_file():
        for name, value in dotenv_values(path).items():
            if value:
                os.environ.setdefault(name, value)


def wants_sandbox(environment: Mapping[str, str]) -> bool:
    """Return whether the stand-ins are wanted: unless the variable says no."""
    return environment.get(SANDBOX_VARIABLE, "1").strip().lower() not in ("0", "false", "no", "off")


@dataclass(frozen=True)
class Environment:
    """One embedded environment: its folder, ports, secrets, and the variables its components get."""

    run_dir: RunDir
    ports: dict[str, int]
    secrets: dict[str, str]
    caller: dict[str, str]

    @classmethod
    def prepare(cls, run_dir: RunDir, *, running: bool = False) -> tuple[Environment, list[str]]:
        """Make or read the environment in `run_dir`.

        :param running: its components are up: keep the ports without looking whether they are free.
        :returns: the environment and the names of secrets made just now.
        """
        run_dir.create()
        known, new = secret_values.load_or_create(run_dir.secrets_file)
        preferred = {"api": UI_PORT} if run_dir.is_default else {}
        chosen = ports.load_or_choose(run_dir.environment_file, keep=running, preferred=preferred)
        return cls(run_dir, chosen, known, dict(os.environ)), new

    @property
    def base_url(self) -> str:
        """Where the UI and the REST API answer."""
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def admin_password(self) -> str:
        """The password of the user `admin`."""
        return self.caller.get(secret_values.ADMIN_PASSWORD) or self.secrets[secret_values.ADMIN_PASSWORD]

    @property
    def uses_sandbox(self) -> bool:
        """Whether the stand-ins are started; `TRADING_OPS_SANDBOX=0` leaves them out."""
        return wants_sandbox(self.caller)

    @property
    def starts_mongod(self) -> bool:
        """Whether the embedded mongod is started; a MongoDB named by the caller replaces it."""
        return not self.caller.get(MONGO_VARIABLE)

    @property
    def mongo_uri(self) -> str:
        """Which MongoDB the bundle works on, for people: never the caller's own address, it may hold a password."""
        return f"mongodb://127.0.0.1:{self.ports['mongod']}" if self.starts_mongod else f"(as {MONGO_VARIABLE} says)"

    @property
    def sizes(self) -> Sizes:
        """Pools and worker processes for this machine."""
        return Sizes.of_machine(Settings(), usable_cores())

    def sandbox(self) -> dict[str, Any]:
        """Return what the sandbox wrote about itself (nothing without one)."""
        return read_json(self.run_dir.sandbox_file) if self.uses_sandbox else {}

    def variables(self, component: str) -> dict[str, str]:
        """Return the whole environment of a component."""
        defaults = {
            "AIRFLOW__CORE__PARALLELISM": str(self.sizes.parallelism),
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # a laptop's DNS may not know it
            "TRADING_OPS_STATE_DIR": str(self.run_dir.state),
            **{name: value for name, value in self.secrets.items() if name != secret_values.ADMIN_PASSWORD},
        }
        sandbox = self._sandbox_variables()
        hidden = {secret_values.ADMIN_PASSWORD}
        if OPENAI_KEY in sandbox and OPENAI_ADDRESS not in self.caller:
            hidden.add(OPENAI_KEY)  # a real key is of no use to the stand-in
        caller = {name: value for name, value in self.caller.items() if name not in hidden}
        return marked({**defaults, **sandbox, **caller, **self._fixed()}, self.run_dir.path, component)

    def connections(self) -> dict[str, dict[str, Any]]:
        """Return the Airflow connections to create: none that the caller gives as `AIRFLOW_CONN_...`."""
        connections: dict[str, dict[str, Any]] = {
            name.removeprefix(CONNECTION_PREFIX).lower(): json.loads(value)
            for name, value in self.sandbox().get("env", {}).items()
            if name.startswith(CONNECTION_PREFIX)
        }
        connections["mongo_default"] = {
            "conn_type": "mongo",
            "host": "127.0.0.1",
            "port": self.ports["mongod"],
            "extra": {"serverSelectionTimeoutMS": 5000},
            "description": "The embedded mongod.",
        }
        return {name: conn for name, conn in connections.items() if CONNECTION_PREFIX + name.upper() not in self.caller}

    def for_strangers(self, component: str) -> dict[str, str]:
        """Return the environment of a component that is not Airflow's: no secrets of ours in it."""
        return marked({**self.caller, "PYTHONPATH": str(REPOSITORY)}, self.run_dir.path, component)

    def _fixed(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.run_dir.airflow_home),
            "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # Seconds that a writer waits for another one: SQLite has one writer at a time.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.run_dir.database}?timeout=60",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["api"]),
            "AIRFLOW__API__BASE_URL": self.base_url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.base_url}/execution/",
            "TRADING_OPS_ROOT": str(REPOSITORY),
            # The bundle's root comes first: nothing of the caller's stands before it.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), self.caller.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }

    def _sandbox_variables(self) -> dict[str, str]:
        variables: Mapping[str, str] = self.sandbox().get("env", {})
        return {name: value for name, value in variables.items() if not name.startswith(CONNECTION_PREFIX)}
