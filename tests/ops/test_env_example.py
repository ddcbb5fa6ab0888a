""".env.example lists every setting with its default, and nothing that does not exist."""

from __future__ import annotations

import configparser
import re

import pytest
from dotenv import dotenv_values
from pydantic_settings import SettingsError

from include.settings import Settings
from ops.env_example import DISTRIBUTED, OTHERS, render, variable_of
from ops.run_dir import REPOSITORY

EXAMPLE = (REPOSITORY / ".env.example").read_text()
NAMES = re.findall(r"^# ([A-Z][A-Z0-9_]*)=", EXAMPLE, flags=re.MULTILINE)


def test_the_file_is_what_the_settings_say() -> None:
    assert render() == EXAMPLE, "run: python -m ops.env_example > .env.example"


def test_each_setting_is_listed_once_and_nothing_else_is() -> None:
    settings = [variable_of(name, field) for name, field in Settings.model_fields.items()]
    assert sorted(NAMES) == sorted([*settings, *OTHERS, *DISTRIBUTED])


def test_each_variable_has_a_meaning() -> None:
    meanings = re.findall(r"^## (.*)\n# [A-Z]", EXAMPLE, flags=re.MULTILINE)
    assert len(meanings) == len(NAMES)
    assert all(meanings)


def test_the_listed_defaults_are_the_defaults(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text(re.sub(r"^# ([A-Z])", r"\1", EXAMPLE, flags=re.MULTILINE))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    plain = Settings()
    for name, value in dotenv_values(file).items():
        if value:
            monkeypatch.setenv(name, value)
    try:
        listed = Settings()
    except SettingsError as error:
        pytest.fail(str(error))
    assert listed.model_dump(exclude={"state_dir"}) == plain.model_dump(exclude={"state_dir"})
    assert (REPOSITORY / listed.state_dir) == plain.state_dir


def test_the_airflow_options_among_them_exist(ask_airflow) -> None:
    known = ask_airflow(
        "import json\n"
        "from airflow.configuration import retrieve_configuration_description as describe\n"
        "print(json.dumps({s: sorted(v['options']) for s, v in describe(include_airflow=True).items()}))"
    )
    options = [name.split("__")[1:] for name in NAMES if name.startswith("AIRFLOW__")]
    assert options
    assert all(option.lower() in known[section.lower()] for section, option in options)


def test_the_file_holds_comments_only() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(EXAMPLE)
    assert parser.sections() == []
    assert dotenv_values(REPOSITORY / ".env.example") == {}
