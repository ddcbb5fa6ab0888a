"""The embedded mode: Airflow on SQLite, a mongod and the sandbox, on this machine alone.

python -m ops.embedded up | down | status
"""

from __future__ import annotations

import sys

from ops import components, lifecycle, report
from ops.environment import Environment
from ops.run_dir import RunDir
from ops.secret_values import ADMIN_PASSWORD
from ops.status import State
from ops.supervisor import Supervisor


def _bring_up(supervisor: Supervisor, environment: Environment) -> None:
    supervisor.start(components.services(environment))
    supervisor.say(State.STARTING, "setting up Airflow's database")
    components.set_up_airflow(environment)
    supervisor.start(components.airflow(environment))


def _welcome(environment: Environment, new_secrets: list[str]) -> None:
    report.print_welcome(environment, show_password=ADMIN_PASSWORD in new_secrets)


def _left_behind(run_dir: RunDir) -> list[str]:
    return lifecycle.unclean_mongod(run_dir) + [f"{file} is left" for file in run_dir.airflow_home.glob("*.pid")]


MODE = lifecycle.Mode(
    module="ops.embedded",
    ended_by="make down",
    describe=Environment.prepare,
    bring_up=_bring_up,
    welcome=_welcome,
    left_behind=_left_behind,
)


if __name__ == "__main__":
    sys.exit(lifecycle.main(MODE, RunDir.from_environment, "The embedded mode"))
