"""Backs up what the bundle cannot make again: its database (GridFS with the models included) and the keys.

    python -m ops.backup create FOLDER               makes FOLDER/<UTC time> and removes nothing
    python -m ops.backup verify FOLDER/<UTC time>    compares every file with its checksum
    python -m ops.backup restore FOLDER/<UTC time>   into an empty database; --replace: throws away what is there
    python -m ops.backup keys FOLDER/<UTC time>      prints the keys; needs the passphrase

MongoDB is the one that `AIRFLOW_CONN_MONGO_DEFAULT` names. Airflow's own database is not part of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ops.files import write_text
from ops.key_backup import KeyBackupError, open_sealed, seal
from ops.mongo_backup import BackupError, Manifest, dump, restore, verify

if TYPE_CHECKING:
    from pymongo.database import Database

SEALED = "keys.sealed"
DATABASE = "mongodb"


def create(db: Database[dict[str, Any]], folder: Path, now: datetime) -> Path:
    """Make a backup below `folder` and return its own folder.

    The keys come first: data that nobody will be able to open is no backup.

    :raises KeyBackupError: when the keys or the passphrase are missing; nothing is written then.
    :raises BackupError: as :func:`ops.mongo_backup.dump`.
    """
    sealed = seal(os.environ)
    target = folder / f"{now:%Y%m%dT%H%M%SZ}"
    dump(db, target / DATABASE)
    write_text(target / SEALED, sealed + "\n", mode=0o600)
    return target


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
            folder = create(_database(), folder, datetime.now(UTC))
            _say(folder, verify(folder / DATABASE))
        elif arguments.action == "verify":
            _say(folder, verify(folder / DATABASE))
        elif arguments.action == "restore":
            _say(folder, restore(_database(), folder / DATABASE, replace=arguments.replace))
        else:
            sealed = (folder / SEALED).read_text(encoding="utf-8").strip()
            print("\n".join(f"{name}={value}" for name, value in open_sealed(sealed, os.environ).items()))
    except (BackupError, KeyBackupError, PyMongoError, OSError) as error:
        print(f"{arguments.action}: {error}", file=sys.stderr)
        return 1
    return 0


def _database() -> Database[dict[str, Any]]:
    from include.store.mongo import get_database

    return get_database()


def _say(folder: Path, manifest: Manifest) -> None:
    documents = sum(copied.documents for copied in manifest.collections.values())
    moment = "of one moment" if manifest.one_moment else "not of one moment: no replica set"
    print(f"{folder}: {len(manifest.collections)} collections, {documents} documents, {moment}, {manifest.made_at}")


if __name__ == "__main__":
    sys.exit(main())
