"""A real RabbitMQ node for development and tests: private ports, folder, cookie and port mapper (epmd).

Of the package `rabbitmq-server` (Debian, Ubuntu) it takes the scripts themselves, not the wrappers on the PATH, which
change to the user and the folders of the system's own node. Nothing of it listens beyond 127.0.0.1.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import amqp

from sandbox.kit.ports import HOST
from sandbox.mongod import free_port

START_TIMEOUT_S = 90.0
POLL_S = 0.1
KILL_TIMEOUT_S = 10.0
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
NODE = "trading_ops@localhost"
MISSING = (
    "no rabbitmq-server: install it (Debian, Ubuntu: apt-get install rabbitmq-server; its system service is not needed)"
)


class RabbitMqUnavailableError(RuntimeError):
    """No RabbitMQ is to be had on this machine, or it did not start."""


def find_rabbitmq_server() -> Path:
    """Return the script that starts a node as the current user.

    :raises RabbitMqUnavailableError: when there is none; the message says what to install.
    """
    on_path = shutil.which("rabbitmq-server")
    for script in (SCRIPTS / "rabbitmq-server", *((Path(on_path),) if on_path else ())):
        if script.exists() and shutil.which("epmd"):
            return script
    raise RabbitMqUnavailableError(MISSING)


@dataclass(frozen=True)
class Login:
    """Whom a new node knows: an administrator, and the virtual host that is his."""

    user: str
    password: str = field(repr=False)
    vhost: str


GUEST = Login("guest", "guest", "/")
"""Whom a node makes of its own accord."""


@dataclass
class RabbitMq:
    """A running node and its port mapper, which this process started."""

    process: subprocess.Popen[bytes]
    epmd: subprocess.Popen[bytes]
    port: int
    management_port: int | None
    folder: Path
    login: Login = field(default_factory=lambda: GUEST)

    @property
    def url(self) -> str:
        """The address for clients and for `TRADING_OPS_RABBITMQ_URL`."""
        return f"amqp://{self.login.user}:{self.login.password}@{HOST}:{self.port}/{self.login.vhost}"

    @property
    def management_url(self) -> str | None:
        """The address of its management API, where that was asked for."""
        if not self.management_port:
            return None
        return f"http://{self.login.user}:{self.login.password}@{HOST}:{self.management_port}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the node (a shell and the Erlang machine below it): SIGSTOP makes it hang."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the node and its port mapper by their ids and wait for them; may be called twice.

        :param timeout_s: for ending in order; then they are killed.
        """
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_s)
        self.signal(signal.SIGKILL)  # the shell may end before the machine below it
        self.process.wait(KILL_TIMEOUT_S)
        if self.epmd.poll() is None:
            self.epmd.kill()  # it keeps nothing
        self.epmd.wait(KILL_TIMEOUT_S)


def start_rabbitmq(
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    management: bool = False,
    management_port: int | None = None,
    login: Login = GUEST,
    config: str = "",
    plugins: Sequence[str] = (),
) -> RabbitMq:
    """Start a node with its data below `folder` and return it once it takes an AMQP connection.

    :param folder: gets its data, logs, configuration and cookie; made when missing.
    :param port: TCP port on 127.0.0.1; a free one when omitted.
    :param environment: environment variables of the processes; the caller's when omitted.
    :param management: start its management API too.
    :param management_port: for that; a free one when omitted.
    :param login: whom a node without data makes, and who looks whether it answers.
    :param config: more of `rabbitmq.conf`.
    :param plugins: to be enabled, besides.
    :raises RabbitMqUnavailableError: when none is found or it does not answer in 90 s; the message names the log.
    """
    script = find_rabbitmq_server()
    folder.mkdir(parents=True, exist_ok=True)
    port, epmd_port = port or free_port(), free_port()
    management_port = (management_port or free_port()) if management else None
    _configure(folder, port, management_port, login, config, plugins)
    variables = _variables(folder, port, epmd_port, environment)
    log = folder / "rabbitmq.log"
    with log.open("ab") as output:
        # In the foreground, so that it ends with us; the node would start one that stays behind.
        epmd = subprocess.Popen(
            ["epmd", "-address", HOST, "-port", str(epmd_port)],
            env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        process = subprocess.Popen(
            [str(script)], env=variables, cwd=folder,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    node = RabbitMq(process, epmd, port, management_port, folder, login)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            node.stop()
            raise RabbitMqUnavailableError(f"RabbitMQ ended with code {process.returncode}: see {log}")
        if _answers(node):
            return node
        time.sleep(POLL_S)
    node.stop()
    raise RabbitMqUnavailableError(f"RabbitMQ did not answer on port {port} within {START_TIMEOUT_S:.0f} s: see {log}")


def _configure(
    folder: Path, port: int, management_port: int | None, login: Login, more: str, plugins: Sequence[str]
) -> None:
    lines = [f"listeners.tcp.default = {HOST}:{port}"]
    if login is not GUEST:
        lines += [
            f"default_user = {login.user}",
            f"default_pass = {login.password}",
            f"default_vhost = {login.vhost}",
        ]
    if management_port:
        lines += [f"management.tcp.ip = {HOST}", f"management.tcp.port = {management_port}"]
    if "log.console " not in more:
        lines.append("log.console = false")
    conf = folder / "rabbitmq.conf"
    conf.touch(mode=0o600)
    conf.write_text("\n".join(lines) + f"\n{more}\n")
    enabled = [*(["rabbitmq_management"] if management_port else []), *plugins]
    (folder / "enabled_plugins").write_text(f"[{','.join(dict.fromkeys(enabled))}].\n")
    cookie = folder / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(16))


def _variables(folder: Path, port: int, epmd_port: int, environment: Mapping[str, str] | None) -> dict[str, str]:
    inherited = os.environ if environment is None else environment
    return {
        **{name: value for name, value in inherited.items() if not name.startswith(("RABBITMQ_", "ERL_"))},
        "HOME": str(folder),  # where Erlang looks for the cookie
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),  # not there: the system's is not ours
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        # Loopback between nodes too; and no spinning schedulers, which would take the processors from the tests.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 2:2",
    }


def _answers(node: RabbitMq) -> bool:
    login, patience = node.login, {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
    try:
        with amqp.Connection(f"{HOST}:{node.port}", login.user, login.password, virtual_host=login.vhost, **patience):
            return True
    except (OSError, amqp.AMQPError):
        return False
