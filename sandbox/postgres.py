"""A real PostgreSQL for development and tests: private port and folder, passwords always, nothing beyond 127.0.0.1.

Order: the programs on the PATH, then the newest of the package `postgresql` (Debian, Ubuntu), which does not put its
server there. Both programs refuse to run as root; root lets the system's user `postgres` run them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from sandbox.kit.ports import HOST
from sandbox.mongod import free_port

START_TIMEOUT_S = 60.0
POLL_S = 0.05
KILL_TIMEOUT_S = 10.0
PACKAGED = Path("/usr/lib/postgresql")
PROGRAMS = ("postgres", "initdb", "pg_dump", "pg_restore")
ACCOUNT = "postgres"
STILL_IN_USE = "is still in use"
"""What a start says while processes of a server that was killed still work; it is repeated then."""
TAIL = 500
"""Characters of the log that may hold it: a line, a hint and the line before."""
MISSING = "no PostgreSQL: install it (Debian, Ubuntu: apt-get install postgresql; its system service is not needed)"


class PostgresUnavailableError(RuntimeError):
    """No PostgreSQL is to be had on this machine, or it did not start."""


def find_postgres() -> Path:
    """Return the folder with the programs: `postgres`, `initdb`, `pg_dump`, `pg_restore` and the others.

    :raises PostgresUnavailableError: when there is none; the message says what to install.
    """
    on_path = shutil.which("postgres")
    versions = sorted(PACKAGED.glob("[0-9]*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in (*((Path(on_path).resolve().parent,) if on_path else ()), *versions):
        if all(os.access(folder / program, os.X_OK) for program in PROGRAMS):
            return folder
    raise PostgresUnavailableError(MISSING)


@dataclass
class Postgres:
    """A running server that this process started, and the superuser who logs in to its one database."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    user: str
    password: str = field(repr=False)
    database: str

    @property
    def url(self) -> str:
        """The address for SQLAlchemy and for `AIRFLOW__DATABASE__SQL_ALCHEMY_CONN`, password included."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql+psycopg://{login}@{HOST}:{self.port}/{quote(self.database, safe='')}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to every process of it: SIGSTOP makes it hang, SIGKILL is a crash."""
        for member in self._members():
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the server and wait for it, without waiting for its clients; may be called twice.

        :param timeout_s: for ending in order (SIGINT); then it ends at once (SIGQUIT), at last it is killed. It
            recovers from both at the next start.
        """
        if self.process.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, KILL_TIMEOUT_S)):
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
                return
        members = self._members()
        self.signal(signal.SIGKILL)
        self.process.wait(KILL_TIMEOUT_S)
        psutil.wait_procs(members[1:], KILL_TIMEOUT_S)  # the next start refuses data that somebody still works on

    def _members(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.process.pid)
            return [server, *server.children(recursive=True)]
        return []


def start_postgres(
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    user: str = "airflow",
    password: str,
    database: str = "airflow",
) -> Postgres:
    """Start a server with its data below `folder` and return it once `user` can log in to `database`.

    A folder that has data already is used as it is; user and password are those that it was made with then.

    :param folder: gets `data/` and `postgres.log`; made when missing. For root its parents may be closed to others.
    :param port: TCP port on 127.0.0.1; a free one when omitted. There is no Unix socket.
    :param environment: environment variables of the process; the caller's when omitted. Only the server itself shows
        them (in `/proc`): the processes that it makes write their titles over theirs, but never outlive it.
    :raises ValueError: for an empty password: it would be none.
    :raises PostgresUnavailableError: when none is found, root has no user `postgres` to run it, the password is not
        the folder's, or it does not answer in 60 s; the message names the log.
    """
    if not password:
        raise ValueError("the password of PostgreSQL is empty: give one")
    programs, account = find_postgres(), _account()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    inherited = os.environ if environment is None else environment
    given: dict[str, Any] = {
        "env": {name: value for name, value in inherited.items() if not name.startswith("PG")},  # not another's
        "cwd": "/",  # the user may be unable to return to ours
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        **({"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}),
    }
    log, data = folder / "postgres.log", folder / "data"
    with log.open("ab") as output:
        given["stdout"] = output
        if not data.exists():
            _make_data(programs / "initdb", data, account, given, user, password)
        deadline = time.monotonic() + START_TIMEOUT_S
        server = Postgres(_spawn(programs / "postgres", data, port, given), port, folder, user, password, database)
        while time.monotonic() < deadline:
            if server.process.poll() is not None:
                if STILL_IN_USE not in log.read_text(errors="replace")[-TAIL:]:
                    raise PostgresUnavailableError(f"postgres ended with code {server.process.returncode}: see {log}")
                server.process = _spawn(programs / "postgres", data, port, given)
            try:
                _ensure_database(server)
                return server
            except psycopg.OperationalError as error:
                if "authentication failed" in str(error):
                    server.stop()
                    raise PostgresUnavailableError(
                        f"{data} was made with another password or user than {user}: give those, or delete the folder"
                    ) from None
                time.sleep(POLL_S)
    server.stop()
    raise PostgresUnavailableError(f"postgres did not answer on port {port} within {START_TIMEOUT_S:.0f} s: see {log}")


def _spawn(postgres: Path, data: Path, port: int, given: dict[str, Any]) -> subprocess.Popen[bytes]:
    with _reachable(data) as (path, descriptor):
        return subprocess.Popen(
            [
                str(postgres),
                "-D", path,
                "-c", f"listen_addresses={HOST}",
                "-c", f"port={port}",
                "-c", "unix_socket_directories=",
                "-c", "max_connections=200",
            ],
            pass_fds=(descriptor,), start_new_session=True, **given,
        )  # fmt: skip


def _account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise PostgresUnavailableError(
            f"PostgreSQL does not run as root and there is no user {ACCOUNT} to run it (Debian, Ubuntu: apt-get "
            "install postgresql makes one): make that user, or start this as another user than root"
        ) from None


def _make_data(
    initdb: Path, data: Path, account: pwd.struct_passwd | None, given: dict[str, Any], user: str, password: str
) -> None:
    """Make the data folder, whole or not at all; the password stands in a file without a name, not in an argument."""
    new = data.with_name("data.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    with ExitStack() as stack:
        path, descriptor = stack.enter_context(_reachable(new))
        secret = stack.enter_context(tempfile.TemporaryFile(dir=data.parent))
        secret.write(password.encode() + b"\n")
        secret.seek(0)
        if account:
            for owned in (descriptor, secret.fileno()):
                os.fchown(owned, account.pw_uid, account.pw_gid)
        made = subprocess.run(
            [
                str(initdb),
                "-D", path,
                "--username", user,
                "--pwfile", f"/dev/fd/{secret.fileno()}",
                "--auth", "scram-sha-256",
                "--encoding", "UTF8",
                "--locale", "C",
            ],
            pass_fds=(descriptor, secret.fileno()), check=False, **given,
        )  # fmt: skip
    if made.returncode:
        raise PostgresUnavailableError(f"initdb ended with code {made.returncode}: see {data.parent / 'postgres.log'}")
    new.rename(data)


@contextmanager
def _reachable(folder: Path) -> Iterator[tuple[str, int]]:
    """Give a path to the folder, and the open descriptor that a process must inherit for it.

    Root's folders are often closed to others, so that the user `postgres` cannot walk down to its own data. To open
    the parents, or to put the data elsewhere, would change what others may see or what deleting the folder deletes.
    An inherited descriptor leads to the one folder and nowhere else.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield (f"/proc/self/fd/{descriptor}" if os.geteuid() == 0 else str(folder)), descriptor
    finally:
        os.close(descriptor)


def _ensure_database(server: Postgres) -> None:
    with psycopg.connect(
        host=HOST, port=server.port, user=server.user, password=server.password, dbname="postgres",
        connect_timeout=5, autocommit=True,
    ) as connection:  # fmt: skip
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (server.database,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(server.database)))
