"""The DAG processor sees dags/*.py and nothing else of the repository."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.run_dir import REPOSITORY

Ask = Callable[[str], Any]

LIST = (
    "import json\n"
    "from airflow.configuration import conf\n"
    "from airflow._shared.module_loading.file_discovery import find_path_from_directory\n"
    "syntax = conf.get('core', 'dag_ignore_file_syntax')\n"
    "print(json.dumps(sorted(map(str, find_path_from_directory(%s, '.airflowignore', syntax)))))"
)


def files_seen(ask: Ask, folder: Path) -> set[str]:
    return {str(Path(file).relative_to(folder)) for file in ask(LIST % json.dumps(str(folder)))}


def test_only_the_files_of_the_dags_folder_are_seen(ask_airflow: Ask) -> None:
    expected = {f"dags/{file.name}" for file in (REPOSITORY / "dags").glob("*.py")} - {"dags/__init__.py"}
    assert files_seen(ask_airflow, REPOSITORY) == expected


def test_other_folders_and_looping_links_are_not_walked(ask_airflow: Ask, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / ".airflowignore", tmp_path)
    for name in (
        "dags/one.py", "dags/__init__.py", "dags/wiring/two.py", "dags/wiring/deep/three.py", "top.py",
        ".venv/lib/four.py", ".run/airflow/logs/five.py", "tests/dags/six.py", "include/dags/seven.py",
        "sandbox/eight.py", "ops/nine.py", "benchmarks/ten.py", "plugins/eleven.py",
    ):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    logs = tmp_path / ".run" / "airflow" / "logs"
    (logs / "latest").symlink_to(logs)
    assert files_seen(ask_airflow, tmp_path) == {"dags/one.py"}
