"""The drill: a backup of a real MongoDB brings everything back into another one, models and keys included."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import Int64
from bson.codec_options import CodecOptions
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from include.ml.model_files import ModelFileStore
from include.store.collections import CANDLES, INDEXES, MODELS
from ops.backup import AIRFLOW, DATABASE, SEALED, create
from ops.backup_files import MANIFEST, BackupError
from ops.key_backup import KeyBackupError, open_sealed, seal
from ops.mongo_backup import dump, restore, verify
from ops.mongo_setup import MongoPlan, set_up_mongo
from ops.postgres_backup import VARIABLE
from ops.run_dir import REPOSITORY
from sandbox.mongod import Mongod

Db = Database[dict[str, Any]]
NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
NAME = "lstm_BTCUSDT_1h_20260314_120000.keras"
MODEL = os.urandom(700_000)  # several chunks of GridFS
PASSPHRASE = "a passphrase of the drill"


@pytest.fixture
def source(plan: MongoPlan) -> Iterator[Db]:
    """The database of a deployment: replica set, authentication, the bundle's own user."""
    set_up_mongo(plan)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        f"mongodb://{plan.host}", username=plan.user, password=plan.password, authSource="admin",
        replicaSet=plan.replica_set,
    )  # fmt: skip
    db = client.get_database(plan.database, codec_options=CodecOptions(tz_aware=True))
    yield db
    for name in db.list_collection_names():
        db.drop_collection(name)
    client.close()


@pytest.fixture
def empty(mongod: Mongod) -> Iterator[Db]:
    """Another server, where nothing is."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongod.uri)
    db = client.get_database("restored", codec_options=CodecOptions(tz_aware=True))
    client.drop_database("restored")
    yield db
    client.drop_database("restored")
    client.close()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    given = {
        "TRADING_OPS_MODEL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }
    for name, value in {**given, "TRADING_OPS_BACKUP_PASSPHRASE": PASSPHRASE}.items():
        monkeypatch.setenv(name, value)
    return given


def fill(db: Db, key: str, cache: Path) -> str:
    store = ModelFileStore(db, base64.b64decode(key), cache)
    stored = store.save(NAME, MODEL)
    db[MODELS].insert_one({"_id": "m", "at": NOW, "accuracy": 0.61, "file": {"name": NAME, "sha256": stored.sha256}})
    db[CANDLES].insert_many(
        [{"symbol": "BTCUSDT", "timeframe": "1h", "open_time": Int64(at), "close": at / 7} for at in range(3000)]
    )
    return stored.sha256


def contents(db: Db) -> dict[str, list[dict[str, Any]]]:
    return {name: list(db[name].find().sort("_id")) for name in sorted(db.list_collection_names())}


def indexes(db: Db) -> dict[str, Any]:
    return {name: db[name].index_information() for name in sorted(db.list_collection_names())}


def test_the_drill_everything_is_lost_and_comes_back(
    source: Db, empty: Db, keys: dict[str, str], tmp_path: Path
) -> None:
    digest = fill(source, keys["TRADING_OPS_MODEL_ENCRYPTION_KEY"], tmp_path / "cache")
    before, indexed = contents(source), indexes(source)
    backup = create(source, tmp_path / "backups", NOW, airflow=None)
    assert backup.name == "20260314T120000Z"
    assert not (backup / AIRFLOW).exists()
    assert verify(backup / DATABASE).one_moment
    for name in source.list_collection_names():
        source.drop_collection(name)

    recovered = open_sealed((backup / SEALED).read_text().strip(), {"TRADING_OPS_BACKUP_PASSPHRASE": PASSPHRASE})
    restore(empty, backup / DATABASE)
    assert recovered == keys
    assert contents(empty) == before
    assert indexes(empty) == indexed
    assert len(INDEXES) > 20
    key = base64.b64decode(recovered["TRADING_OPS_MODEL_ENCRYPTION_KEY"])
    assert ModelFileStore(empty, key, tmp_path / "another host").load_stored(NAME, digest) == MODEL
    with pytest.raises(DuplicateKeyError):  # the unique index is at work
        empty[CANDLES].insert_one({"symbol": "BTCUSDT", "timeframe": "1h", "open_time": Int64(5)})


def test_a_backup_is_of_one_moment_while_others_write(source: Db, tmp_path: Path) -> None:
    """What is written to `a` first and to `z` then can never be in `z` alone."""
    source["m"].insert_many([{"text": os.urandom(50_000)} for _ in range(300)])
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            for name in ("a", "z"):
                source[name].insert_one({"_id": number})
            number += 1
            if number == 20:
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        copied = dump(source, tmp_path / "b").collections
        written_later = source["z"].count_documents({}) - copied["z"].documents
    finally:
        stop.set()
        writer.join()
    assert copied["a"].documents - copied["z"].documents in (0, 1)
    assert written_later > 0, "nobody wrote meanwhile, so this has shown nothing"


def test_a_single_mongod_is_copied_too_and_the_backup_says_so(db: Db, empty: Db, tmp_path: Path) -> None:
    db["reports"].insert_one({"_id": 1, "when": NOW})
    assert not dump(db, tmp_path / "b").one_moment
    restore(empty, tmp_path / "b")
    assert empty["reports"].find_one() == {"_id": 1, "when": NOW}


def test_a_database_that_holds_something_is_left_alone_unless_told_otherwise(db: Db, empty: Db, tmp_path: Path) -> None:
    db["reports"].insert_one({"_id": 1})
    dump(db, tmp_path / "b")
    empty["other"].insert_one({"_id": "precious"})
    with pytest.raises(BackupError, match=r"not empty \(other\)"):
        restore(empty, tmp_path / "b")
    assert empty.list_collection_names() == ["other"]
    restore(empty, tmp_path / "b", replace=True)
    assert "other" not in empty.list_collection_names()
    assert empty["reports"].count_documents({}) == 1


def test_a_new_deployment_that_has_only_been_set_up_counts_as_empty(db: Db, source: Db, tmp_path: Path) -> None:
    db["reports"].insert_one({"_id": 1})
    dump(db, tmp_path / "b")
    restore(source, tmp_path / "b")
    assert source["reports"].count_documents({}) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "interrupted"])
def test_a_backup_that_is_not_whole_changes_nothing(db: Db, empty: Db, tmp_path: Path, damage: str) -> None:
    db["reports"].insert_one({"_id": 1})
    folder = tmp_path / "b"
    dump(db, folder)
    file = folder / "reports.bson.gz"
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        file.unlink()
    else:
        (folder / MANIFEST).unlink()
    empty["other"].insert_one({"_id": 1})
    with pytest.raises(BackupError):
        restore(empty, folder, replace=True)
    assert empty["other"].count_documents({}) == 1


def test_a_backup_never_overwrites_another(db: Db, tmp_path: Path) -> None:
    dump(db, tmp_path / "b")
    with pytest.raises(BackupError, match="exists"):
        dump(db, tmp_path / "b")


@pytest.mark.parametrize("airflow", [{VARIABLE: "sqlite:////nowhere/airflow.db"}, {}], ids=["SQLite", "not named"])
def test_a_database_of_airflow_that_is_not_postgresql_is_left_out_which_is_said(
    mongod: Mongod, keys: dict[str, str], tmp_path: Path, airflow: dict[str, str]
) -> None:
    settings = {
        "AIRFLOW_CONN_MONGO_DEFAULT": mongod.uri.replace("mongodb:", "mongo:"),
        "TRADING_OPS_MONGO_DATABASE": "without_airflow",
        "AIRFLOW_HOME": str(tmp_path / "home"),
    }

    def said(action: str, folder: Path) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "ops.backup", action, str(folder)],
            cwd=REPOSITORY, env={**os.environ, **settings, **airflow}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    assert f"left out: {VARIABLE} names no PostgreSQL" in said("create", tmp_path / "backups")
    (backup,) = (tmp_path / "backups").iterdir()
    assert sorted(path.name for path in backup.iterdir()) == [SEALED, DATABASE]
    assert "Airflow's own database is not in this backup" in said("verify", backup)
    assert "Airflow's own database is not in this backup" in said("restore", backup)


# --- keys


@pytest.mark.parametrize("missing", ["TRADING_OPS_MODEL_ENCRYPTION_KEY", "TRADING_OPS_BACKUP_PASSPHRASE"])
def test_without_keys_or_passphrase_no_backup_is_made(
    db: Db, keys: dict[str, str], tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(KeyBackupError, match=missing):
        create(db, tmp_path / "backups", NOW, airflow=None)
    assert not (tmp_path / "backups").exists()


def test_another_passphrase_opens_nothing(keys: dict[str, str]) -> None:
    sealed = seal(os.environ)
    assert not any(value in base64.b64decode(sealed).decode(errors="replace") for value in keys.values())
    with pytest.raises(KeyBackupError, match="do not open"):
        open_sealed(sealed, {"TRADING_OPS_BACKUP_PASSPHRASE": "a passphrase of somebody else"})
    with pytest.raises(KeyBackupError, match="do not open"):
        open_sealed("AAAA" + sealed[4:], os.environ)
