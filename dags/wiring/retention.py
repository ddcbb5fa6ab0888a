"""The steps of `retention` between Airflow and what is removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dags.wiring.params import run_params
from include.tasks_api.params.storage import RetentionParams

Context = Mapping[str, Any]


def remove_documents(context: Context) -> dict[str, int]:
    """Remove old documents, and the pages of strategy runs as old as their results; return how many of each."""
    from datetime import UTC, datetime, timedelta

    from dags.wiring.runtime import database
    from include.settings import get_settings
    from include.store.collections import STRATEGY_REPORTS_BUCKET
    from include.store.retention import remove_old, rules
    from include.strategies.reports import ReportStore

    dry_run, db, now = run_params(RetentionParams, context).dry_run, database(), datetime.now(UTC)
    settings = get_settings()
    counts: Counter[str] = Counter()
    for rule in rules(settings):
        counts[rule.collection] += remove_old(db, rule, now, dry_run=dry_run)
    before = now - timedelta(days=settings.result_retention_days)
    counts[STRATEGY_REPORTS_BUCKET] = ReportStore(db).sweep(before, dry_run=dry_run)
    return dict(counts)


def remove_checkpoints(context: Context) -> list[str]:
    """Remove checkpoints that no training has written to or resumed for the configured time; return their names."""
    from datetime import UTC, datetime, timedelta

    from include.ml.checkpoints import sweep_checkpoints
    from include.settings import get_settings

    settings, now = get_settings(), datetime.now(UTC)
    kept = timedelta(days=settings.checkpoint_retention_days)
    dry_run = run_params(RetentionParams, context).dry_run
    return sweep_checkpoints(settings.checkpoint_dir, now, kept, dry_run=dry_run)


def remove_logs(context: Context) -> dict[str, int]:
    """Remove this host's old task logs."""
    from datetime import UTC, datetime, timedelta

    from airflow.sdk.configuration import conf

    from dags.wiring.runtime import owner_is_over
    from include.settings import get_settings
    from include.store.log_retention import remove_old_logs

    before = datetime.now(UTC) - timedelta(days=get_settings().log_retention_days)
    folder = Path(conf.get("logging", "base_log_folder"))
    dry_run = run_params(RetentionParams, context).dry_run
    return asdict(remove_old_logs(folder, before, owner_is_over(context), dry_run=dry_run))
