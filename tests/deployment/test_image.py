"""What the Dockerfile puts into the image: everything that the services start, nothing of development, no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import translate
from pathlib import Path

import pytest
import yaml

from ops import compose
from ops.run_dir import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
RULES = [
    line.strip()
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
COPIED = [
    source
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, flags=re.MULTILINE)
    for source in line.split()[:-1]
    if not source.startswith("--")
]


def covers(pattern: str, path: str) -> bool:
    """Whether a pattern of .dockerignore names the path or a folder above it."""
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    if pattern.startswith("**/"):
        expression = re.compile(translate(pattern[3:]))
        return any(expression.match(part) for part in parts)
    expression = re.compile("(?s:" + re.escape(pattern).replace(r"\*", "[^/]*") + r")\Z")
    return any(expression.match(folder) for folder in above)


def is_sent(path: str) -> bool:
    """Whether Docker gets the file at all: the last rule that names it decides."""
    sent = True
    for rule in RULES:
        if covers(rule.removeprefix("!"), path):
            sent = rule.startswith("!")
    return sent


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for path in listed.stdout.splitlines() if (REPOSITORY / path).is_file()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, tracked: list[str]) -> Path:
    """The bundle's folder as the image has it."""
    folder = tmp_path_factory.mktemp("bundle")
    for path in tracked:
        if is_sent(path) and any(path == source or path.startswith(f"{source}/") for source in COPIED):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((REPOSITORY / path).read_bytes())
    return folder


def test_only_the_product_is_in_the_image(image: Path) -> None:
    assert {path.name for path in image.iterdir()} == {
        ".airflowignore", "LICENSE", "airflow.cfg", "config", "dags", "include", "ops", "plugins",
    }  # fmt: skip
    assert not (image / "ops" / "demo").exists()


def test_secrets_stand_ins_tests_and_history_are_not_even_sent() -> None:
    for path in (
        ".env", ".env.example", "config/.env", ".git/config", ".run/secrets.env", ".venv/bin/python",
        "sandbox/mongod.py", "tests/conftest.py", "requirements-dev.lock", "benchmarks/__main__.py",
        "include/__pycache__/settings.cpython-311.pyc", "docker-compose.yaml",
    ):  # fmt: skip
        assert not is_sent(path), path
    for path in ("requirements.lock", "requirements-gpu.lock", "dags/train_model.py", "include/ml/training.py"):
        assert is_sent(path), path


def test_what_the_services_start_works_without_what_is_left_out(image: Path) -> None:
    modules = [
        service["command"][2] for service in compose.services().values() if service.get("command", [])[:1] == ["python"]
    ]
    assert {"ops.distributed_setup", "ops.metrics_exporter"} <= set(modules)
    answer = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}"],
        cwd=image, env={"PYTHONPATH": str(image), "AIRFLOW_CONFIG": str(image / "airflow.cfg"), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


def test_mounted_configuration_is_in_the_repository_and_readable_by_everybody() -> None:
    for name, service in compose.services().items():
        for volume in service.get("volumes", []):
            source = REPOSITORY / volume.split(":")[0]
            if volume.startswith("./"):
                files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
                assert files, f"{name}: {volume}"
                assert volume.endswith(":ro")
                assert all(path.stat().st_mode & 0o004 for path in files), "containers run as other users"


def test_the_image_is_airflows_of_the_locked_version_and_runs_as_nobody_special() -> None:
    airflow = re.search(r"^apache-airflow==(\S+)", (REPOSITORY / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert airflow
    assert f"ARG AIRFLOW_IMAGE=apache/airflow:{airflow[1]}-python3.11\n" in DOCKERFILE
    assert re.findall(r"^USER (.*)$", DOCKERFILE, flags=re.MULTILINE)[-1] == "50000:0"
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"PASSWORD|SECRET|_KEY", DOCKERFILE)


def test_the_backups_programs_are_those_of_the_very_server() -> None:
    server = compose.services()["postgres"]["image"]
    assert f"ARG POSTGRES_IMAGE={server}\n" in DOCKERFILE
    folder = f"/usr/lib/postgresql/{server.partition(':')[2].partition('.')[0]}/bin"
    assert f"COPY --from=postgres {folder}/pg_dump {folder}/pg_restore /opt/trading-ops/postgres/\n" in DOCKERFILE
    assert "ENV PATH=/opt/trading-ops/venv/bin:/opt/trading-ops/postgres:$PATH" in DOCKERFILE


def test_the_gpu_image_differs_in_its_lock_alone() -> None:
    build = compose.services()["worker-gpu"]["build"]
    assert build == {"context": ".", "args": {"LOCK": "requirements-gpu.lock"}}
    assert "ARG LOCK=requirements.lock\n" in DOCKERFILE
    locked = (REPOSITORY / "requirements-gpu.lock").read_text()
    assert "nvidia-cudnn-cu12==" in locked
    assert yaml.safe_load(compose.text())["services"]["worker-gpu"]["profiles"] == ["gpu"]
