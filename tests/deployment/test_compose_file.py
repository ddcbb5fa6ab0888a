"""docker-compose.yaml: valid, complete, without secrets, closed to the outside, fit for production."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr

from include.settings import Settings
from ops import compose
from ops.deployment_env import SECRETS, TO_FILL_IN
from ops.env_example import DISTRIBUTED, OTHERS, variable_of
from ops.run_dir import REPOSITORY

BOTH = [compose.BASE, compose.CLUSTER]
SERVICES = compose.services()
AIRFLOW = [name for name, service in SERVICES.items() if "trading-ops" in service["image"]]
ENDS_BY_ITSELF = {"airflow-init": "on-failure", "backup": "no"}
SETTINGS = {variable_of(name, field): field for name, field in Settings.model_fields.items()}
IMAGES_OWN = ("POSTGRES_", "RABBITMQ_", "REDIS_", "MONGO_INITDB_", "GF_", "FLOWER_", "ALERT_")
"""Prefixes of variables that the images of others read (and of those that only fill them in)."""
BY_NAME = ("DUMB_INIT_SETSID", "TRADING_OPS_PRELOAD")
"""Nobody's settings: fixed for one service, read by the image's first process and by `dags/wiring/preload.py`."""
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|AUTH|COOKIE|WEBHOOK|DEFAULT_PASS|CONN_")


@pytest.mark.parametrize("name", BOTH)
def test_the_file_follows_the_compose_specification(name: str) -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose.parsed(name))] == []


def test_the_schema_is_not_satisfied_by_anything() -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors({"services": {"a": {"image": "b", "prots": ["1:1"]}}}))


def test_everything_named_is_there() -> None:
    document = compose.parsed()
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("networks", ["default"])) <= set(document["networks"]), name
        assert set(service.get("secrets", [])) <= set(document["secrets"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (REPOSITORY / source).exists() if source.startswith("./") else source in document["volumes"]
            assert there, f"{name}: {source}"


def test_who_waits_for_a_healthy_service_waits_for_one_that_says_whether_it_is() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_pinned_checked_bounded_restarted_and_its_logs_rotated(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ENDS_BY_ITSELF.get(name, "always")
    assert name in ENDS_BY_ITSELF or service["healthcheck"]["test"]
    assert re.search(r":v?\d+\.\d+|^\$\{TRADING_OPS_(GPU_)?IMAGE:-trading-ops(:gpu)?\}$", service["image"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service.get("user") not in ("root", "0", 0)


def test_rabbitmq_stays_below_4_3() -> None:
    for name in BOTH:
        images = set(re.findall(r"rabbitmq:[\w.-]+", compose.text(name)))
        assert {image for image in images if image.endswith("management")} == {"rabbitmq:4.2-management"}


@pytest.mark.parametrize("name", BOTH)
def test_nothing_but_the_ui_is_published_beyond_loopback(name: str) -> None:
    published = {
        service: port for service, definition in compose.services(name).items() for port in definition.get("ports", [])
    }
    beyond = {service for service, port in published.items() if not port.startswith("127.0.0.1:")}
    assert beyond <= {"api-server"}
    assert all(definition.get("network_mode") is None for definition in compose.services(name).values())


def test_the_databases_have_no_way_out() -> None:
    assert compose.parsed()["networks"]["data"] == {"internal": True}
    for name in ("postgres", "redis", "mongodb"):
        assert SERVICES[name]["networks"] == ["data"]
        assert "ports" not in SERVICES[name]


# --- secrets


@pytest.mark.parametrize("name", BOTH)
def test_every_secret_comes_from_the_environment_and_has_no_default(name: str) -> None:
    for match in compose.VARIABLE.finditer(compose.text(name)):
        if SECRET.search(match["name"]):
            assert match["kind"] == ":?", match[0]
            assert match["rest"].startswith("set "), match[0]
    for service, definition in compose.services(name).items():
        for key, value in (definition.get("environment") or {}).items():
            if SECRET.search(key) and value is not None and not key.startswith("GF_AUTH"):
                assert "${" in str(value), f"{service}: {key}"


@pytest.mark.parametrize("name", BOTH)
def test_no_address_holds_a_password_in_the_clear(name: str) -> None:
    passwords = re.findall(r"\w+://[^\s:/@]*:([^@\s]+)@", re.sub(r"\$\{(\w+)[^}]*\}", r"<\1>", compose.text(name)))
    assert passwords
    assert [password for password in passwords if not re.fullmatch(r"<\w+>", password)] == []


def test_secrets_given_as_files_come_from_the_environment() -> None:
    for name, source in compose.parsed()["secrets"].items():
        assert set(source) == {"environment"}, name


def test_without_any_environment_the_file_is_refused(environment: dict[str, str]) -> None:
    everything = list(compose.strings(compose.parsed()))
    for value in everything:
        compose.filled(value, environment)
    required = {
        match["name"] for match in compose.VARIABLE.finditer(compose.text()) if (match["kind"] or "").endswith("?")
    }
    for name in required:
        without = {key: value for key, value in environment.items() if key != name}
        with pytest.raises(compose.MissingVariableError, match=name):
            [compose.filled(value, without) for value in everything]


def test_the_written_env_file_has_exactly_what_the_files_require() -> None:
    required = {
        match["name"]
        for name in BOTH
        for match in compose.VARIABLE.finditer(compose.text(name))
        if (match["kind"] or "").endswith("?")
    }
    required |= {source["environment"] for source in compose.parsed()["secrets"].values()}
    assert required == {*SECRETS, *TO_FILL_IN}


def test_what_needs_no_models_and_no_gpt4_gets_no_key_of_them() -> None:
    for key, others in (("OPENAI_API_KEY", set()), ("TRADING_OPS_MODEL_ENCRYPTION_KEY", {"backup"})):
        holders = {name for name, service in SERVICES.items() if key in service.get("environment", {})}
        assert holders == {"scheduler", *compose.workers()} | others
    roots = {name for name, service in SERVICES.items() if "MONGO_ROOT_PASSWORD" in str(service.get("environment"))}
    assert roots == {"mongodb", "airflow-init"}


# --- keys


@pytest.fixture(scope="module")
def airflow_options(ask_airflow: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = ask_airflow(
        "import json\n"
        "from airflow.configuration import retrieve_configuration_description as describe\n"
        "known = describe(include_airflow=True, include_providers=True)\n"
        "print(json.dumps({s: sorted(v['options']) for s, v in known.items()}))"
    )
    return found


@pytest.mark.parametrize("name", BOTH)
def test_every_key_means_something_to_its_reader(name: str, airflow_options: dict[str, list[str]]) -> None:
    listed = {*SETTINGS, *OTHERS, *DISTRIBUTED}
    unknown = []
    for service in compose.services(name).values():
        for key in service.get("environment") or {}:
            if key.startswith("AIRFLOW__"):
                section, option = key.lower().split("__")[1:]
                is_known = option in airflow_options.get(section, [])
            else:
                is_known = key in listed or key.startswith((*IMAGES_OWN, "AIRFLOW_CONN_")) or key in BY_NAME
            unknown += [] if is_known else [key]
    assert unknown == []


def test_every_variable_that_people_set_is_explained_in_env_example() -> None:
    listed = {*SETTINGS, *OTHERS, *DISTRIBUTED}
    for name in BOTH:
        asked = {match["name"] for match in compose.VARIABLE.finditer(compose.text(name))}
        passed = {
            key
            for service in compose.services(name).values()
            for key, value in (service.get("environment") or {}).items()
            if value is None
        }
        assert (asked | passed) <= listed


def test_every_setting_reaches_every_component_that_parses_or_runs_tasks() -> None:
    plain = {name for name, field in SETTINGS.items() if SecretStr not in (field.annotation, *_parts(field.annotation))}
    for name in AIRFLOW:
        if name != "flower":
            assert plain <= set(SERVICES[name]["environment"]), name


def test_the_same_setting_says_the_same_to_everybody() -> None:
    said: dict[str, set[str]] = {}
    for name in AIRFLOW:
        for key, value in SERVICES[name]["environment"].items():
            if key in SETTINGS or key in ("AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
                said.setdefault(key, set()).add(str(value))
    assert {key: values for key, values in said.items() if len(values) > 1} == {}


def _parts(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


# --- the image


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    answer = subprocess.run(
        [linter, "--no-color", REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "")


def test_commands_are_such_that_airflow_and_python_know(ask_airflow: Any) -> None:
    commands = [service["command"] for name, service in SERVICES.items() if name in AIRFLOW]
    airflow = [command[1:] for command in commands if command[0] == "airflow"]
    modules = [command[2] for command in commands if command[:2] == ["python", "-m"]]
    assert len(airflow) + len(modules) == len(AIRFLOW)
    assert ask_airflow(
        "import json\n"
        "from airflow.cli.cli_parser import get_parser\n"
        f"for command in {airflow!r}: get_parser().parse_args(command)\n"
        "print(json.dumps(True))"
    )
    assert all((REPOSITORY / f"{module.replace('.', '/')}.py").exists() for module in modules)
