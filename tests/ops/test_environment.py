"""Secrets, ports and variables of an environment."""

from __future__ import annotations

import base64
import os
import socket
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ops import ports, secret_values
from ops.environment import Environment, load_dotenv
from ops.files import write_json
from ops.run_dir import REPOSITORY, RunDir


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run folder, and no variable of ours in the caller's environment."""
    for name in list(os.environ):
        if name.startswith(("TRADING_OPS_", "AIRFLOW", "OPENAI_")):
            monkeypatch.delenv(name)
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    write_json(
        run_dir.sandbox_file,
        {
            "urls": {"engine": "http://127.0.0.1:1"},
            "env": {
                "TRADING_OPS_ENGINE_BASE_URL": "http://127.0.0.1:1",
                "TRADING_OPS_OPENAI_BASE_URL": "http://127.0.0.1:2/v1",
                "OPENAI_API_KEY": "sandbox-key",
                "AIRFLOW_CONN_SLACK_DEFAULT": '{"conn_type": "slackwebhook", "password": "http://127.0.0.1:3/x"}',
            },
        },
    )
    return run_dir


def variables(run_dir: RunDir) -> dict[str, str]:
    return Environment.prepare(run_dir)[0].variables("scheduler")


def test_secrets_are_made_once_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    first, new = secret_values.load_or_create(file)
    again, none = secret_values.load_or_create(file)
    assert set(new) == set(secret_values.GENERATORS)
    assert none == []
    assert first == again
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_generated_keys_have_the_form_their_users_ask_for(tmp_path: Path) -> None:
    known, _ = secret_values.load_or_create(tmp_path / "secrets.env")
    Fernet(known["AIRFLOW__CORE__FERNET_KEY"])
    assert len(base64.b64decode(known["TRADING_OPS_MODEL_ENCRYPTION_KEY"], validate=True)) == 32
    assert len(set(known.values())) == len(known)


def test_ports_are_kept_and_one_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "environment.json"
    first = ports.load_or_choose(file, keep=False)
    assert len(set(first.values())) == len(ports.NAMES)
    assert ports.load_or_choose(file, keep=False) == first
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", first["mongod"]))
        stranger.listen()
        assert ports.load_or_choose(file, keep=True) == first  # it is our own mongod that listens
        second = ports.load_or_choose(file, keep=False)
    assert second["mongod"] != first["mongod"]
    assert {**second, "mongod": 0} == {**first, "mongod": 0}


def test_only_the_developers_own_environment_prefers_the_well_known_port(tmp_path: Path) -> None:
    assert RunDir(REPOSITORY / ".run").is_default
    assert not RunDir(tmp_path).is_default
    free = ports.load_or_choose(tmp_path / "one.json", keep=False)["api"]
    assert ports.load_or_choose(tmp_path / "two.json", keep=False, preferred={"api": free})["api"] == free
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", free))
        stranger.listen()
        assert ports.load_or_choose(tmp_path / "three.json", keep=False, preferred={"api": free})["api"] != free


def test_the_sandbox_stands_in_for_what_the_caller_does_not_name(
    environment: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variables(environment)["TRADING_OPS_ENGINE_BASE_URL"] == "http://127.0.0.1:1"
    monkeypatch.setenv("TRADING_OPS_ENGINE_BASE_URL", "http://engine.example")
    assert variables(environment)["TRADING_OPS_ENGINE_BASE_URL"] == "http://engine.example"
    monkeypatch.setenv("TRADING_OPS_SANDBOX", "0")
    assert "TRADING_OPS_OPENAI_BASE_URL" not in variables(environment)


def test_a_real_openai_key_goes_only_where_the_caller_says(
    environment: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    assert variables(environment)["OPENAI_API_KEY"] == "sandbox-key"
    monkeypatch.setenv("TRADING_OPS_OPENAI_BASE_URL", "https://api.openai.com/v1")
    assert variables(environment)["OPENAI_API_KEY"] == "sk-real"


def test_the_mode_fixes_addresses_and_folders(environment: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/elsewhere")
    monkeypatch.setenv("AIRFLOW__API__HOST", "0.0.0.0")
    found = variables(environment)
    assert found["AIRFLOW_HOME"] == str(environment.airflow_home)
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["PYTHONPATH"] == found["TRADING_OPS_ROOT"] == str(REPOSITORY)
    assert str(environment.database) in found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_the_callers_own_keys_replace_the_generated_ones(environment: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_OPS_MODEL_ENCRYPTION_KEY", "mine")
    monkeypatch.setenv("TRADING_OPS_ADMIN_PASSWORD", "my password")
    prepared, _ = Environment.prepare(environment)
    assert prepared.variables("scheduler")["TRADING_OPS_MODEL_ENCRYPTION_KEY"] == "mine"
    assert prepared.admin_password == "my password"


def test_components_do_not_get_the_admins_password_and_strangers_no_secret(environment: RunDir) -> None:
    prepared, _ = Environment.prepare(environment)
    assert prepared.admin_password not in prepared.variables("scheduler").values()
    assert not set(prepared.secrets.values()) & set(prepared.for_strangers("sandbox").values())


def test_connections_are_made_but_for_those_that_the_caller_gives(
    environment: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, _ = Environment.prepare(environment)
    assert prepared.starts_mongod
    connections = prepared.connections()
    assert connections["slack_default"] == {"conn_type": "slackwebhook", "password": "http://127.0.0.1:3/x"}
    assert connections["mongo_default"]["port"] == prepared.ports["mongod"]
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", "mongo://user:secret@elsewhere")
    prepared, _ = Environment.prepare(environment)
    assert not prepared.starts_mongod
    assert set(prepared.connections()) == {"slack_default"}
    assert prepared.variables("scheduler")["AIRFLOW_CONN_MONGO_DEFAULT"] == "mongo://user:secret@elsewhere"
    assert "secret" not in prepared.mongo_uri


def test_the_env_file_adds_what_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my.env"
    file.write_text("TRADING_OPS_SYMBOLS=SOLUSDT\nTRADING_OPS_TIMEFRAME=4h\nTRADING_OPS_GPU_COUNT=\n")
    for name in ("TRADING_OPS_TIMEFRAME", "TRADING_OPS_GPU_COUNT"):
        monkeypatch.setenv(name, "")  # restored after the test, whatever load_dotenv sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRADING_OPS_SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("TRADING_OPS_ENV_FILE", str(file))
    load_dotenv()
    assert os.environ["TRADING_OPS_SYMBOLS"] == "BTCUSDT"
    assert os.environ["TRADING_OPS_TIMEFRAME"] == "4h"
    assert "TRADING_OPS_GPU_COUNT" not in os.environ
