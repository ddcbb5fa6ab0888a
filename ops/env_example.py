"""Writes `.env.example` from the settings, which know their names, defaults and meanings.

python -m ops.env_example > .env.example
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from include.settings import BUNDLE_ROOT, Settings
from ops.environment import ENV_FILE_VARIABLE, MONGO_VARIABLE, SANDBOX_VARIABLE
from ops.run_dir import RUN_DIR_VARIABLE
from ops.secret_values import ADMIN_PASSWORD, GENERATORS

HEAD = """\
# Copy to .env and remove the `# ` before what you change. `make up` reads it; variables that are set already win.
# Every line shows the default; where the sandbox stands in for a service, its address replaces that default.
# Do not commit .env: it is where secrets go.
"""

OTHERS: dict[str, tuple[str, str]] = {
    SANDBOX_VARIABLE: ("1", "0: start no stand-ins; the addresses below must then be those of real services."),
    "MARKET_DATA_DIR": ("../shared/data/klines", "Folder of *_1h.csv.gz that the sandbox's Binance serves."),
    RUN_DIR_VARIABLE: (".run", "Everything that the embedded mode writes."),
    ENV_FILE_VARIABLE: (".env", "Another file instead of .env (set it in the shell)."),
    ADMIN_PASSWORD: ("", "Password of Airflow's user admin; generated and shown once when empty."),
    MONGO_VARIABLE: ("", "A MongoDB of yours instead of the embedded one, as an Airflow connection URI or JSON."),
    "AIRFLOW_CONN_SLACK_DEFAULT": (
        "",
        'Your Slack: {"conn_type": "slackwebhook", "password": "https://hooks.slack.com/services/..."}',
    ),
    "AIRFLOW__CORE__PARALLELISM": ("", "Worker processes; by default what fits the machine."),
    "AIRFLOW__CORE__FERNET_KEY": ("", "Encrypts Airflow's connections; generated when empty."),
    "AIRFLOW__API_AUTH__JWT_SECRET": ("", "Signs Airflow's tokens; generated when empty."),
    "AIRFLOW__API__SECRET_KEY": ("", "Signs the UI's sessions; generated when empty."),
}
"""Variables that are no settings of the bundle: name to default and meaning."""

DISTRIBUTED: dict[str, tuple[str, str]] = {
    "POSTGRES_PASSWORD": ("", "PostgreSQL's user airflow. This and the next four: letters and digits only."),
    "RABBITMQ_PASSWORD": ("", "RabbitMQ's user trading_ops."),
    "REDIS_PASSWORD": ("", "Redis."),
    "MONGO_PASSWORD": ("", "MongoDB's user trading_ops: what the bundle logs in as."),
    "MONGO_ROOT_PASSWORD": ("", "MongoDB's user root, used by the set-up alone."),
    "MONGO_KEYFILE": (
        "",
        "What the members of MongoDB's replica set know each other by: base64, 6 to 1024 characters.",
    ),
    "FLOWER_BASIC_AUTH": ("", "Flower's login, as user:password."),
    "GRAFANA_PASSWORD": ("", "Grafana's user admin."),
    "TRADING_OPS_BACKUP_PASSPHRASE": ("", "Seals the keys in a backup (ops/backup.py); keep it elsewhere, too."),
    "ALERT_SMTP_SMARTHOST": ("", "Mail server of the alerts, as host:port; it must speak TLS."),
    "ALERT_SMTP_USER": ("", "The user there."),
    "ALERT_SMTP_PASSWORD": ("", "The password there."),
    "ALERT_MAIL_FROM": ("", "Sender of the alerts' mails."),
    "ALERT_MAIL_TO": ("", "Who gets the alerts by mail."),
    "ALERT_SLACK_CHANNEL": ("", "Slack channel of the alerts, for instance #alerts."),
    "ALERT_SLACK_WEBHOOK": ("", "Slack webhook of the alerts, https://hooks.slack.com/services/..."),
    "AIRFLOW_CONN_SMTP_DEFAULT": (
        "",
        "Mail server of the bundle's own messages, as an Airflow connection (JSON or URI).",
    ),
    "AIRFLOW_CONN_DISCORD_DEFAULT": ("", "Your Discord, the same way."),
    "AIRFLOW_CONN_TELEGRAM_DEFAULT": ("", "Your Telegram, the same way."),
    "AIRFLOW__API__BASE_URL": ("", "Where people reach the UI; by default http://localhost:8080."),
    "TRADING_OPS_IMAGE": ("", "The image to run; by default trading-ops, built from the Dockerfile."),
    "TRADING_OPS_GPU_IMAGE": ("", "The same for the GPU workers; by default trading-ops:gpu."),
    "TRADING_OPS_CPU_TRAINING_WORKERS": ("", "0 where worker-gpu takes the trainings; by default 1."),
    "COMPOSE_PROFILES": ("", "gpu: start worker-gpu too; then also TRADING_OPS_GPU_COUNT and the line above."),
    "RABBITMQ_ERLANG_COOKIE": (
        "",
        "What three RabbitMQ nodes know each other by (docker-compose.rabbitmq-cluster.yaml).",
    ),
}
"""Variables that only docker-compose.yaml reads. The secrets among them have no default there, either."""


def variable_of(name: str, field: FieldInfo) -> str:
    """Return the environment variable that a setting is read from."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{Settings.model_config['env_prefix']}{name.upper()}"


def text_of(default: Any) -> str:
    """Return a default as one would write it in the file."""
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, Path):
        return str(default.relative_to(BUNDLE_ROOT) if default.is_relative_to(BUNDLE_ROOT) else default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def sections() -> list[tuple[str, list[str]]]:
    """Return the settings' names under the headings that stand between them in the source."""
    source = (BUNDLE_ROOT / "include" / "settings.py").read_text(encoding="utf-8")
    found: list[tuple[str, list[str]]] = []
    for heading, name in re.findall(r"^    (?:# --- (.+)|(\w+): .*)$", source, flags=re.MULTILINE):
        if heading:
            found.append((heading, []))
        elif name in Settings.model_fields:
            found[-1][1].append(name)
    return found


def render() -> str:
    """Return the text of the file."""
    blocks = [HEAD, "# --- the embedded mode\n" + "".join(_entry(name, *other) for name, other in OTHERS.items())]
    distributed = "".join(_entry(name, *other) for name, other in DISTRIBUTED.items())
    head = "# --- the distributed mode (`python -m ops.deployment_env` writes a .env with fresh secrets for it)\n"
    blocks.append(head + distributed)
    for heading, names in sections():
        entries = []
        for name in names:
            field = Settings.model_fields[name]
            meaning = field.description or ""
            if variable_of(name, field) in GENERATORS:
                meaning += " `make up` generates one."
            entries.append(_entry(variable_of(name, field), text_of(field.default), meaning))
        blocks.append(f"# --- {heading}\n" + "".join(entries))
    return "\n".join(blocks)


def _entry(name: str, default: str, meaning: str) -> str:
    return f"## {meaning}\n# {name}={default}\n"


if __name__ == "__main__":
    sys.stdout.write(render())
