"""Airflow's own command line, on the embedded environment: `ops/airflow dags list`."""

from __future__ import annotations

import os
import sys

from ops.environment import Environment, load_dotenv
from ops.run_dir import RunDir


def main() -> None:
    """Become `airflow` with the environment's variables."""
    load_dotenv()
    run_dir = RunDir.from_environment()
    if not run_dir.database.exists():
        sys.exit("There is no environment yet: `make up` makes one.")
    environment, _ = Environment.prepare(run_dir, running=True)
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *sys.argv[1:]], environment.variables("command"))


if __name__ == "__main__":
    main()
