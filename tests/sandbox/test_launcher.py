"""Starting, watching and ending the stand-ins."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from include.settings import Settings
from sandbox.launcher import REPOSITORY, SERVICES, Sandbox, SandboxError, start_all
from tests.sandbox.conftest import eventually, is_alive


def _launch(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sandbox.launcher", "--folder", str(folder), *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_every_stand_in_answers_after_the_start(sandbox: Sandbox) -> None:
    for name, service in sandbox.services.items():
        ready = httpx.get(f"{service.url}/__sandbox__/ready").json()
        assert ready == {"service": name, "pid": service.process.pid}
    assert set(sandbox.services) == set(SERVICES)
    assert sandbox.poll() == {}


def test_every_stand_in_listens_on_the_loopback_address_only(sandbox: Sandbox) -> None:
    for service in sandbox.services.values():
        with socket.socket() as other, pytest.raises(OSError, match="refused"):
            other.connect(("127.0.0.2", service.port))


def test_the_environment_points_the_settings_at_the_stand_ins(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.binance_base_url == sandbox.urls["binance"]
    assert settings.engine_base_url == sandbox.urls["engine"]
    assert settings.ai_service_base_url == sandbox.urls["ai_service"]
    assert settings.frontend_base_url == sandbox.urls["frontend"]
    assert settings.openai_base_url == sandbox.urls["openai_api"]
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value().startswith("sandbox-")
    assert json.loads(sandbox.env["AIRFLOW_CONN_SLACK_DEFAULT"])["password"] == sandbox.urls["slack"]


def test_stop_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    running = start_all(tmp_path, services=["frontend", "sinks"])
    pids = [service.process.pid for service in running.services.values()]
    ports = [service.port for service in running.services.values()] + [running.smtp_port]
    assert all(is_alive(pid) for pid in pids)
    running.stop()
    running.stop()
    assert not any(is_alive(pid) for pid in pids)
    for port in ports:
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", port))


def test_a_crash_shows_in_poll(tmp_path: Path) -> None:
    running = start_all(tmp_path, services=["frontend", "openai_api"])
    try:
        running.services["frontend"].process.kill()
        eventually(lambda: running.poll() == {"frontend": -signal.SIGKILL})
    finally:
        running.stop()


def test_a_taken_port_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"openai_api: port {port} of 127.0.0.1 cannot be used"):
            start_all(tmp_path, {"openai_api": port}, services=["engine", "openai_api"])
    started = psutil.Process().children(recursive=True)
    assert not [child for child in started if str(tmp_path) in " ".join(child.cmdline())]


def test_a_fixed_port_is_kept(tmp_path: Path) -> None:
    first = start_all(tmp_path, services=["frontend"])
    port = first.services["frontend"].port
    first.stop()
    second = start_all(tmp_path, {"frontend": port}, services=["frontend"])
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    finally:
        second.stop()


def test_unusable_data_stops_the_start_with_its_reason(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "BTCUSDT_1h.csv.gz").write_bytes(b"not a gzip file")
    with pytest.raises(SandboxError, match=r"BTCUSDT_1h\.csv\.gz cannot be read"):
        start_all(tmp_path / "env", market_data_dir=data, services=["binance"])


def test_an_unknown_stand_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="unknown stand-in"):
        start_all(tmp_path, services=["engin"])


def test_the_command_writes_the_urls_and_ends_its_children(tmp_path: Path) -> None:
    urls_file = tmp_path / "urls.json"
    launcher = _launch(tmp_path / "env", "--urls-file", str(urls_file), "--services", "frontend,binance")
    eventually(urls_file.exists)
    written = json.loads(urls_file.read_text())
    assert httpx.get(written["urls"]["frontend"]).status_code == 200
    assert written["env"]["TRADING_OPS_BINANCE_BASE_URL"] == written["urls"]["binance"]
    launcher.terminate()
    _, errors = launcher.communicate(timeout=20)
    assert (launcher.returncode, errors) == (0, b"")
    assert not any(is_alive(pid) for pid in written["pids"].values())
    assert not urls_file.exists()


def test_the_command_reports_a_crashed_stand_in_and_ends_the_others(tmp_path: Path) -> None:
    urls_file = tmp_path / "urls.json"
    launcher = _launch(tmp_path / "env", "--urls-file", str(urls_file), "--services", "frontend,openai_api")
    eventually(urls_file.exists)
    pids = json.loads(urls_file.read_text())["pids"]
    os.kill(pids["openai_api"], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=20)
    assert launcher.returncode == 1
    assert b"sandbox openai_api ended with code -9" in errors
    assert not is_alive(pids["frontend"])


def test_stand_ins_end_when_their_launcher_is_killed(tmp_path: Path) -> None:
    urls_file = tmp_path / "urls.json"
    launcher = _launch(tmp_path / "env", "--urls-file", str(urls_file), "--services", "frontend,engine")
    eventually(urls_file.exists)
    pids = json.loads(urls_file.read_text())["pids"]
    launcher.kill()
    launcher.communicate(timeout=20)
    eventually(lambda: not any(is_alive(pid) for pid in pids.values()))
