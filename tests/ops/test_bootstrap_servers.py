"""What the bootstrap does about the servers that only the tests need: on machines with, without, and as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ops.run_dir import REPOSITORY

PROGRAMS = "dirname cksum cat id rm chmod touch"
PACKAGES = {
    "rabbitmq-server": "RabbitMQ",
    "postgresql": "PostgreSQL",
    "prometheus": "promtool",
    "prometheus-alertmanager": "amtool",
    "chromium": "Chromium",
}
"""What is needed, in the order in which it is installed, and how it is called."""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with the usual programs, of a user without rights, without the servers."""
    (tmp_path / "ops").mkdir()
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS.split():
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    program(tmp_path, "id", "echo 1000")
    shutil.copy(REPOSITORY / "ops" / "bootstrap.sh", tmp_path / "ops")
    return tmp_path


def program(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)


def bootstrap(machine: Path, argument: str = "servers") -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell
    places = {
        "RABBITMQ_SCRIPTS": str(machine / "rabbitmq"),
        "POSTGRES_VERSIONS": str(machine / "postgresql"),
        "POLICY_RC_D": str(machine / "policy-rc.d"),
    }
    return subprocess.run(
        [shell, "ops/bootstrap.sh", argument],
        cwd=machine, env={"PATH": str(machine / "bin"), **places}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def become_root(machine: Path) -> None:
    """Let apt-get write down what it is asked and whether services may start, and then install."""
    program(machine, "id", "echo 0")
    program(
        machine,
        "apt-get",
        f'echo "$@" >>{machine}/asked; if {machine}/policy-rc.d; then echo started >>{machine}/asked; fi\n'
        f"PATH={os.defpath}\n"
        "case $* in\n"
        f"*rabbitmq-server) new={machine}/rabbitmq/rabbitmq-server ;;\n"
        f"*postgresql) new={machine}/postgresql/15/bin/postgres ;;\n"
        f"*prometheus) new={machine}/bin/promtool ;;\n"
        f"*prometheus-alertmanager) new={machine}/bin/amtool ;;\n"
        f"*chromium) new={machine}/bin/chromium ;;\n"
        "esac\n"
        "mkdir -p ${new%/*}; touch $new; chmod 755 $new",
    )


def test_who_may_not_install_is_told_what_is_missing(machine: Path) -> None:
    answer = bootstrap(machine)
    assert answer.returncode == 0
    assert answer.stderr.count("\n") == len(PACKAGES)
    for package, name in PACKAGES.items():
        assert f"missing for the tests: {name} (Debian, Ubuntu: apt-get install {package};" in answer.stderr


def test_root_installs_it_once_and_no_service_starts(machine: Path) -> None:
    become_root(machine)
    first, second = bootstrap(machine), bootstrap(machine)
    assert first.returncode == 0
    assert "missing" not in first.stderr
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    asked = (machine / "asked").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in asked] == list(PACKAGES)
    assert all("--no-install-recommends" in line for line in asked)
    assert not (machine / "policy-rc.d").exists()


def test_a_policy_that_is_there_already_stays_as_it_is(machine: Path) -> None:
    become_root(machine)
    policy = machine / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101 # mine\n")
    policy.chmod(0o755)
    assert bootstrap(machine).returncode == 0
    assert policy.read_text() == "#!/bin/sh\nexit 101 # mine\n"


def test_an_installation_that_fails_is_said_and_leaves_no_policy(machine: Path) -> None:
    become_root(machine)
    program(machine, "apt-get", "exit 100")
    answer = bootstrap(machine)
    assert answer.returncode == 0
    assert "missing for the tests: RabbitMQ" in answer.stderr
    assert not (machine / "policy-rc.d").exists()


def test_an_unknown_argument_is_refused(machine: Path) -> None:
    answer = bootstrap(machine, "servants")
    assert answer.returncode == 1
    assert "unknown argument servants" in answer.stderr
