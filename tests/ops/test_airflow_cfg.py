"""airflow.cfg says what the installed Airflow understands, and means what we think it means."""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable
from typing import Any

import pytest

from ops.run_dir import REPOSITORY

pytestmark = pytest.mark.critical

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(REPOSITORY / "airflow.cfg")
    return parser


@pytest.fixture(scope="module")
def known(ask_airflow: Ask) -> dict[str, dict[str, Any]]:
    return ask_airflow(
        "import json\n"
        "from airflow.configuration import retrieve_configuration_description as describe\n"
        "known = describe(include_airflow=True, include_providers=True)\n"
        "print(json.dumps({s: {o: {'type': d['type'], 'sensitive': d.get('sensitive', False)}\n"
        "    for o, d in v['options'].items()} for s, v in known.items()}))"
    )


def test_every_option_exists_in_the_installed_airflow_or_a_provider(
    config: configparser.ConfigParser, known: dict[str, Any]
) -> None:
    options = {(section, option) for section in config.sections() for option in config.options(section)}
    assert len(options) > 30
    unknown = sorted((section, option) for section, option in options if option not in known.get(section, {}))
    assert unknown == []


def test_numbers_and_switches_are_numbers_and_switches(
    config: configparser.ConfigParser, known: dict[str, Any]
) -> None:
    readers = {"integer": config.getint, "float": config.getfloat, "boolean": config.getboolean}
    for section in config.sections():
        for option in config.options(section):
            if read := readers.get(known[section][option]["type"]):
                read(section, option)


def test_no_option_that_airflow_calls_sensitive_is_in_the_file(
    config: configparser.ConfigParser, known: dict[str, Any]
) -> None:
    sensitive = [
        (section, option)
        for section in config.sections()
        for option in config.options(section)
        if known[section][option]["sensitive"]
    ]
    assert sensitive == []


def test_the_one_bundle_is_this_folder_wherever_it_lies(ask_airflow: Ask) -> None:
    answer = ask_airflow(
        "import json\n"
        "from airflow.configuration import conf\n"
        "from airflow.dag_processing.bundles.manager import DagBundlesManager\n"
        "bundles = {b.name: str(b.path) for b in DagBundlesManager().get_all_dag_bundles()}\n"
        "print(json.dumps([bundles, conf.get('core', 'plugins_folder')]))"
    )
    assert answer == [{"trading_ops": str(REPOSITORY)}, str(REPOSITORY / "plugins")]


def test_no_path_of_one_machine_in_the_file() -> None:
    lines = (REPOSITORY / "airflow.cfg").read_text().splitlines()
    values = [line.partition("=")[2].strip() for line in lines if "=" in line and not line.startswith("#")]
    assert [value for value in values if value.startswith(("/", "~"))] == []


def test_what_other_parts_rely_on(ask_airflow: Ask) -> None:
    answer = ask_airflow(
        "import json\n"
        "from airflow.configuration import conf\n"
        "print(json.dumps({\n"
        "  'auth': conf.get('core', 'auth_manager').rsplit('.', 1)[1],\n"
        "  'paused': conf.getboolean('core', 'dags_are_paused_at_creation'),\n"
        "  'examples': conf.getboolean('core', 'load_examples'),\n"
        "  'inflation': conf.get('dag_processor', 'dag_version_inflation_check_level'),\n"
        "  'public_role': conf.get('fab', 'auth_role_public'),\n"
        "  'host': conf.get('api', 'host'),\n"
        "  'publish': conf.getint('celery', 'task_publish_max_retries'),\n"
        "  'policy': conf.getjson('celery', 'extra_celery_config')['task_publish_retry_policy']['max_retries'],\n"
        "  'parallelism': conf.getint('core', 'parallelism'),\n"
        "}))"
    )
    pools = json.loads((REPOSITORY / "config" / "pools.json").read_text())
    assert answer.pop("parallelism") > sum(pool["slots"] for pool in pools.values())
    assert answer == {
        "auth": "FabAuthManager",
        "paused": False,
        "examples": False,
        "inflation": "error",
        "public_role": "",
        "host": "127.0.0.1",
        "publish": 1000,
        "policy": 200,
    }
