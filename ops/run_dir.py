"""Where one embedded environment keeps everything it writes: one folder, named in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT = REPOSITORY / ".run"
RUN_DIR_VARIABLE = "TRADING_OPS_RUN_DIR"


@dataclass(frozen=True)
class RunDir:
    """The folder of one environment; deleting it (after `make down`) deletes the environment."""

    path: Path

    @classmethod
    def from_environment(cls) -> RunDir:
        """Return the folder that `TRADING_OPS_RUN_DIR` names, by default `.run` in the repository."""
        return cls.at(os.environ.get(RUN_DIR_VARIABLE) or DEFAULT)

    @classmethod
    def at(cls, path: str | Path) -> RunDir:
        """Return the folder at a path."""
        return cls(Path(path).resolve())

    @property
    def is_default(self) -> bool:
        """Whether this is the developer's own environment, not one that a test keeps beside it."""
        return self.path == DEFAULT

    def create(self) -> None:
        """Make the folder (readable by its owner only) and those below it that hold logs and state."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.airflow_home, self.logs, self.state):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def airflow_home(self) -> Path:
        """`AIRFLOW_HOME`: the SQLite database and the logs of tasks."""
        return self.path / "airflow"

    @property
    def database(self) -> Path:
        """Airflow's SQLite database."""
        return self.airflow_home / "airflow.db"

    @property
    def logs(self) -> Path:
        """One log file for each component."""
        return self.path / "logs"

    @property
    def mongo(self) -> Path:
        """Data and log of the embedded mongod."""
        return self.path / "mongo"

    @property
    def sandbox(self) -> Path:
        """State of the sandbox: its clock, its ports, what its sinks received."""
        return self.path / "sandbox"

    @property
    def sandbox_file(self) -> Path:
        """What the sandbox wrote about itself: its addresses and the environment that points at them."""
        return self.path / "sandbox.json"

    @property
    def state(self) -> Path:
        """Checkpoints, spool and model cache (`TRADING_OPS_STATE_DIR`)."""
        return self.path / "state"

    @property
    def secrets_file(self) -> Path:
        """The generated keys and the admin's password, mode 600."""
        return self.path / "secrets.env"

    @property
    def environment_file(self) -> Path:
        """The ports of this environment, chosen once."""
        return self.path / "environment.json"

    @property
    def status_file(self) -> Path:
        """What the supervisor last said: state, components, crashes."""
        return self.path / "status.json"

    @property
    def setup_file(self) -> Path:
        """Digest of what Airflow's database was last set up with."""
        return self.path / "setup.json"

    @property
    def lock_file(self) -> Path:
        """Held while `up` or `down` works, so that two of them do not meet."""
        return self.path / "lock"

    def log(self, component: str) -> Path:
        """Return the log file of a component."""
        return self.logs / f"{component}.log"
