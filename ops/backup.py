"""Backs up what cannot be made again: the bundle's database (models included), Airflow's own, and the keys.

    python -m ops.backup create FOLDER               makes FOLDER/<UTC time> and removes nothing
    python -m ops.backup verify FOLDER/<UTC time>    compares every file with its checksum
    python -m ops.backup restore FOLDER/<UTC time>   into empty databases; --replace: throws away what is there
    python -m ops.backup keys FOLDER/<UTC time>      prints the keys; needs the passphrase

MongoDB is the one that `AIRFLOW_CONN_MONGO_DEFAULT` names, Airflow's database the one of
`AIRFLOW__DATABASE__SQL_ALCHEMY_CONN`. Where that is not PostgreSQL it is left out, which is said.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pymongo.errors import PyMongoError

from ops import mongo_backup, postgres_backup
from ops.backup_files import BackupError
from ops.files import write_text
from ops.key_backup import KeyBackupError, open_sealed, seal

if TYPE_CHECKING:
    from pymongo.database import Database
    from sqlalchemy.engine import URL

SEALED = "keys.sealed"
DATABASE = "mongodb"
AIRFLOW = "airflow"


def create(db: Database[dict[str, Any]], folder: Path, now: datetime, *, airflow: URL | None) -> Path:
    """Make a backup below `folder` and return its own folder.

    The keys come first: data that nobody will be able to open is no backup. Airflow's database comes before the
    bundle's: a run that ends in between is then unfinished with its results there, and is tried again. In the other
    order it would be finished without results.

    :param airflow: Airflow's database, None where it is not PostgreSQL.
    :raises KeyBackupError: when the keys or the passphrase are missing; nothing is written then.
    :raises BackupError: as :func:`ops.mongo_backup.dump` and :func:`ops.postgres_backup.dump`.
    """
    sealed = seal(os.environ)
    target = folder / f"{now:%Y%m%dT%H%M%SZ}"
    if airflow is not None:
        postgres_backup.dump(airflow, target / AIRFLOW)
    mongo_backup.dump(db, target / DATABASE)
    write_text(target / SEALED, sealed + "\n", mode=0o600)
    return target


def verify(folder: Path) -> list[str]:
    """Compare every file of a backup with its checksum, and return what is in it, a sentence for each part.

    :raises BackupError: when something is missing or differs.
    """
    bundle = mongo_backup.verify(folder / DATABASE)
    documents = sum(copied.documents for copied in bundle.collections.values())
    moment = "of one moment" if bundle.one_moment else "not of one moment: no replica set"
    said = [f"bundle: {len(bundle.collections)} collections, {documents} documents, {moment}, {bundle.made_at}"]
    if (folder / AIRFLOW).exists():
        airflow = postgres_backup.verify(folder / AIRFLOW)
        said.append(f"Airflow: {airflow.tables} tables of PostgreSQL {airflow.server}, {airflow.made_at}")
    else:
        said.append("Airflow's own database is not in this backup")
    return said


def restore(db: Database[dict[str, Any]], folder: Path, *, airflow: URL | None, replace: bool = False) -> list[str]:
    """Make both databases what the backup says; both are looked at before either is changed.

    :returns: what the backup holds, and what was left as it is.
    :raises BackupError: as :func:`ops.mongo_backup.restore` and :func:`ops.postgres_backup.restore`.
    """
    said = verify(folder)
    has_airflow = (folder / AIRFLOW).exists()
    if has_airflow and airflow is not None:
        postgres_backup.check(airflow, folder / AIRFLOW, replace=replace)
    mongo_backup.restore(db, folder / DATABASE, replace=replace)
    if has_airflow and airflow is not None:
        postgres_backup.restore(airflow, folder / AIRFLOW, replace=replace)
    elif has_airflow:
        said.append(f"Airflow's database is left as it is: {postgres_backup.VARIABLE} names no PostgreSQL")
    return said


def main() -> int:
    """Do what the command line says; return 0, or 1 after saying what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("create", "verify", "restore", "keys"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replace", action="store_true", help="restore: throw away what is in the database")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    try:
        if arguments.action == "create":
            airflow = postgres_backup.airflow_database(os.environ)
            folder = create(_database(), folder, datetime.now(UTC), airflow=airflow)
            _say(folder, verify(folder))
            if airflow is None:
                print(f"Airflow's database is left out: {postgres_backup.VARIABLE} names no PostgreSQL")
        elif arguments.action == "verify":
            _say(folder, verify(folder))
        elif arguments.action == "restore":
            airflow = postgres_backup.airflow_database(os.environ)
            _say(folder, restore(_database(), folder, airflow=airflow, replace=arguments.replace))
        else:
            sealed = (folder / SEALED).read_text(encoding="utf-8").strip()
            print("\n".join(f"{name}={value}" for name, value in open_sealed(sealed, os.environ).items()))
    except (BackupError, KeyBackupError, PyMongoError, psycopg.Error, OSError) as error:
        print(f"{arguments.action}: {error}", file=sys.stderr)
        return 1
    return 0


def _database() -> Database[dict[str, Any]]:
    from include.store.mongo import get_database

    return get_database()


def _say(folder: Path, said: list[str]) -> None:
    print("\n".join([f"{folder}:", *said]))


if __name__ == "__main__":
    sys.exit(main())
