"""Start all stand-ins, one process each, and end them again.

`python -m sandbox.launcher --folder DIR [--urls-file FILE]` runs until SIGTERM or SIGINT; should a
stand-in crash, it says which, ends the others and exits with code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.kit.ports import HOST, listen

if TYPE_CHECKING:
    from sandbox.control import Control

SERVICES = ("engine", "ai_service", "frontend", "binance", "openai_api", "sinks")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
API_KEY = "sandbox-key"
TELEGRAM_TOKEN = "1234567:sandbox"
SLACK_PATH = "/services/T00000000/B00000000/sandbox"
REPOSITORY = Path(__file__).resolve().parent.parent


class SandboxError(RuntimeError):
    """A stand-in did not start, or ended by itself; the message names it and its log."""


@dataclass
class Service:
    """One stand-in process that this process started."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """The base address of its HTTP server."""
        return f"http://{HOST}:{self.port}"

    def failure(self) -> str:
        """Return why it is not there any more: its code and the end of its log."""
        tail = self.log.read_text(errors="replace")[-2000:].strip() if self.log.exists() else ""
        return f"sandbox {self.name} ended with code {self.process.poll()}; the end of {self.log}:\n{tail}"


@dataclass
class Sandbox:
    """The running stand-ins of one environment."""

    folder: Path
    services: dict[str, Service] = field(default_factory=dict)
    smtp_port: int | None = None
    _control: Control | None = None

    @property
    def urls(self) -> dict[str, str]:
        """Base address by name. The sinks also give `slack`, `discord`, `telegram` and `smtp`."""
        urls = {name: service.url for name, service in self.services.items()}
        if "openai_api" in urls:
            urls["openai_api"] += "/v1"
        if "sinks" in urls:
            base = urls["sinks"]
            urls["slack"] = f"{base}{SLACK_PATH}"
            urls["discord"] = f"{base}/api/webhooks/1/sandbox"
            urls["telegram"] = base
            urls["smtp"] = f"smtp://{HOST}:{self.smtp_port}"
        return urls

    @property
    def env(self) -> dict[str, str]:
        """Environment variables that point the bundle at these stand-ins."""
        variables = {
            "binance": "TRADING_OPS_BINANCE_BASE_URL",
            "engine": "TRADING_OPS_ENGINE_BASE_URL",
            "ai_service": "TRADING_OPS_AI_SERVICE_BASE_URL",
            "frontend": "TRADING_OPS_FRONTEND_BASE_URL",
            "openai_api": "TRADING_OPS_OPENAI_BASE_URL",
        }
        urls = self.urls
        env = {variable: urls[name] for name, variable in variables.items() if name in urls}
        if "openai_api" in urls:
            env["OPENAI_API_KEY"] = API_KEY
        if "slack" in urls:
            env |= channel_connections(urls["sinks"], self.smtp_port or 0)
            env["TRADING_OPS_NOTIFICATION_CHANNELS"] = "email,slack,discord,telegram"
            env["TRADING_OPS_EMAIL_TO"] = "admin@example.invalid"
        return env

    @property
    def control(self) -> Control:
        """A client for the control endpoints; `stop` closes it."""
        if self._control is None:
            from sandbox.control import Control

            self._control = Control(self.urls)
        return self._control

    def poll(self) -> dict[str, int]:
        """Return the stand-ins that ended by themselves, with their exit codes: empty while all is well."""
        codes = {name: service.process.poll() for name, service in self.services.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End all processes by their ids and wait for them; may be called twice."""
        if self._control is not None:
            self._control.close()
            self._control = None
        processes = [service.process for service in self.services.values()]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + timeout_s
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


def channel_connections(sinks_url: str, smtp_port: int) -> dict[str, str]:
    """Return the environment variables with the Airflow connections of the four channels.

    :param sinks_url: where the webhooks are, or what leads there.
    :param smtp_port: of the mail server on 127.0.0.1.
    """
    smtp = {"disable_ssl": True, "disable_tls": True, "from_email": "trading-ops@example.invalid", "timeout": 10}
    connections: dict[str, dict[str, Any]] = {
        "SLACK": {"conn_type": "slackwebhook", "password": f"{sinks_url}{SLACK_PATH}"},
        "DISCORD": {
            "conn_type": "discord",
            "host": f"{sinks_url}/api/",
            "extra": {"webhook_endpoint": "webhooks/1/sandbox"},
        },
        "TELEGRAM": {
            "conn_type": "telegram",
            "host": "1",
            "password": TELEGRAM_TOKEN,
            "extra": {"base_url": f"{sinks_url}/bot"},
        },
        "SMTP": {"conn_type": "smtp", "host": HOST, "port": smtp_port, "extra": smtp},
    }
    return {f"AIRFLOW_CONN_{name}_DEFAULT": json.dumps(connection) for name, connection in connections.items()}


def start_all(
    folder: Path,
    ports: Mapping[str, int] | None = None,
    market_data_dir: Path | None = None,
    services: Iterable[str] | None = None,
    *,
    spec_endpoints: bool = False,
) -> Sandbox:
    """Start the stand-ins and return once each answers.

    :param folder: logs and the state (shift and clock of the candles) of this environment; made when missing.
    :param ports: TCP port by service name (`smtp` too) on 127.0.0.1; free ones for those left out.
    :param market_data_dir: folder of real candles; None: `MARKET_DATA_DIR` or its default.
    :param services: which stand-ins; None: all.
    :param spec_endpoints: engine and AI service also have what only the specification describes.
    :raises SandboxError: when one does not start; those already started are ended again.
    """
    wanted = tuple(SERVICES if services is None else services)
    ports = dict(ports or {})
    unknown = sorted((set(wanted) - set(SERVICES)) | (set(ports) - {*SERVICES, "smtp"}))
    if unknown:
        raise SandboxError(f"unknown stand-in(s) {', '.join(unknown)}; known: {', '.join(SERVICES)}, smtp")
    folder.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(folder)
    try:
        for name in wanted:
            _start(sandbox, name, ports, _options(name, folder, market_data_dir, spec_endpoints))
        deadline = time.monotonic() + START_TIMEOUT_S
        for service in sandbox.services.values():
            _await_ready(service, deadline)
    except BaseException:
        sandbox.stop()
        raise
    return sandbox


def _options(name: str, folder: Path, market_data_dir: Path | None, spec_endpoints: bool) -> list[str]:
    options: list[str] = []
    if name in {"binance", "engine"}:
        options += ["--state-file", str(folder / "market.json")]
        if market_data_dir is not None:
            options += ["--market-data-dir", str(market_data_dir)]
    if name in {"engine", "ai_service"} and spec_endpoints:
        options.append("--spec-endpoints")
    return options


def _start(sandbox: Sandbox, name: str, ports: Mapping[str, int], options: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listen(name, ports)))
        descriptors = [listener.fileno()]
        command = [sys.executable, "-m", f"sandbox.{name}", "--fd", str(listener.fileno()), "--end-with-parent"]
        if name == "sinks":
            mail = stack.enter_context(contextlib.closing(_listen("smtp", ports)))
            descriptors.append(mail.fileno())
            command += ["--smtp-fd", str(mail.fileno())]
            sandbox.smtp_port = mail.getsockname()[1]
        log = sandbox.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, *options],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=True,
            )
        sandbox.services[name] = Service(name, process, listener.getsockname()[1], log)


def _listen(name: str, ports: Mapping[str, int]) -> socket.socket:
    try:
        return listen(ports.get(name, 0))
    except OSError as error:
        raise SandboxError(f"sandbox {name}: {error.strerror}") from error


def _await_ready(service: Service, deadline: float) -> None:
    """Wait for the first answer: the socket already listens, so the request waits inside of it."""
    while True:
        try:
            with urllib.request.urlopen(f"{service.url}/__sandbox__/ready", timeout=5) as answer:
                if json.load(answer)["pid"] == service.process.pid:
                    return
        except (urllib.error.URLError, OSError, ValueError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(0.1)
        if service.process.poll() is not None:
            raise SandboxError(service.failure())
        if time.monotonic() > deadline:
            raise SandboxError(
                f"sandbox {service.name} did not answer within {START_TIMEOUT_S:.0f} s: see {service.log}"
            )


def _ports(text: str) -> dict[str, int]:
    return {name: int(port) for name, port in (part.split("=") for part in text.split(",") if part)}


def main() -> int:
    """Run the stand-ins until a signal, or until one of them ends by itself."""
    arguments = argparse.ArgumentParser(description="All stand-ins of the sandbox")
    arguments.add_argument("--folder", type=Path, help="logs and state (default: a temporary folder)")
    arguments.add_argument("--market-data-dir", type=Path, help="folder of *_1h.csv.gz (default: MARKET_DATA_DIR)")
    arguments.add_argument("--urls-file", type=Path, help='gets {"urls", "env", "pids"} as JSON once all are ready')
    arguments.add_argument("--services", help=f"comma-separated, of {','.join(SERVICES)}")
    arguments.add_argument("--ports", type=_ports, default={}, help="for instance engine=8080,smtp=2525")
    arguments.add_argument("--spec-endpoints", action="store_true", help="add what only the specification has")
    options = arguments.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="sandbox-"))
    services = options.services.split(",") if options.services else None
    try:
        sandbox = start_all(
            folder, options.ports, options.market_data_dir, services, spec_endpoints=options.spec_endpoints
        )
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        _announce(sandbox, options.urls_file)
        while not ended.wait(0.5):
            for name in sandbox.poll():
                print(sandbox.services[name].failure(), file=sys.stderr)
            if sandbox.poll():
                return 1
        return 0
    finally:
        sandbox.stop()
        if options.urls_file is not None:
            options.urls_file.unlink(missing_ok=True)


def _announce(sandbox: Sandbox, urls_file: Path | None) -> None:
    for name, url in sandbox.urls.items():
        print(f"{name:12} {url}")
    if "binance" in sandbox.urls:
        with urllib.request.urlopen(f"{sandbox.urls['binance']}/__sandbox__/data", timeout=5) as answer:
            print(f"{'candles':12} {json.load(answer)['data']}")
    sys.stdout.flush()
    if urls_file is not None:
        pids = {name: service.process.pid for name, service in sandbox.services.items()}
        draft = urls_file.with_name(f"{urls_file.name}.{os.getpid()}")
        urls_file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"urls": sandbox.urls, "env": sandbox.env, "pids": pids}, indent=2) + "\n")
        draft.replace(urls_file)


if __name__ == "__main__":
    sys.exit(main())
