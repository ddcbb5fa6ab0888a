"""The encrypted files in a real GridFS, with a local cache that may be lost or damaged."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo.database import Database

from include.errors import BadInputError, IntegrityError
from include.ml.encryption import KEY_BYTES
from include.ml.model_files import ModelFileExistsError, ModelFileStore, StoredFile
from include.ml.model_names import model_file_name
from include.ml.model_sweep import sweep_model_files
from include.ml.registry import ModelRegistry
from tests.ml.models import candidate

KEY = bytes(range(KEY_BYTES))
NAME = "lstm_BTCUSDT_1h_20251122_143022.keras"
AT = datetime(2025, 11, 22, 14, 30, 22, tzinfo=UTC)
DATA = b"weights of a model " * 40_000  # three chunks of GridFS


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def files(db: Database[dict[str, Any]], cache: Path) -> ModelFileStore:
    return ModelFileStore(db, KEY, cache)


def change_in_gridfs(db: Database[dict[str, Any]], name: str) -> None:
    stored = db["model_files.files"].find_one({"filename": name + ".enc"})
    assert stored is not None
    chunk = db["model_files.chunks"].find_one({"files_id": stored["_id"], "n": 1})
    assert chunk is not None
    data = bytearray(chunk["data"])
    data[100] ^= 1
    db["model_files.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": bytes(data)}})


@pytest.mark.critical
def test_tc_async_030_a_saved_model_is_encrypted_at_rest_and_loads(
    files: ModelFileStore, db: Database[dict[str, Any]], cache: Path
) -> None:
    stored = files.save(NAME, DATA)
    assert files.load(NAME, stored.sha256) == DATA
    path = files.path(NAME, stored.sha256)
    assert path == cache / f"{NAME}.enc"
    on_disk = path.read_bytes()
    in_database = b"".join(bytes(c["data"]) for c in db["model_files.chunks"].find().sort("n"))
    assert on_disk == in_database
    assert b"weights" not in on_disk
    assert stored.sha256 == hashlib.sha256(on_disk).hexdigest()
    assert stored.size_bytes == len(on_disk)
    assert StoredFile.from_dict(stored.to_dict()) == stored


def test_a_worker_without_the_cache_gets_the_file_from_gridfs(
    files: ModelFileStore, db: Database[dict[str, Any]], tmp_path: Path
) -> None:
    stored = files.save(NAME, DATA)
    elsewhere = ModelFileStore(db, KEY, tmp_path / "another host")
    assert elsewhere.load(NAME, stored.sha256) == DATA
    assert elsewhere.path(NAME, stored.sha256).exists()


@pytest.mark.parametrize("damage", ["changed", "truncated", "empty", "missing"])
def test_a_damaged_cache_file_is_replaced_from_gridfs(files: ModelFileStore, cache: Path, damage: str) -> None:
    stored = files.save(NAME, DATA)
    path = cache / f"{NAME}.enc"
    good = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"changed": good[:-1] + b"\0", "truncated": good[: len(good) // 2], "empty": b""}[damage])
    assert files.load(NAME, stored.sha256) == DATA
    assert path.read_bytes() == good


def test_a_changed_file_in_gridfs_is_an_integrity_error_and_is_not_cached(
    files: ModelFileStore, db: Database[dict[str, Any]], cache: Path
) -> None:
    stored = files.save(NAME, DATA)
    change_in_gridfs(db, NAME)
    (cache / f"{NAME}.enc").unlink()
    with pytest.raises(IntegrityError, match="corrupt in the database") as caught:
        files.load(NAME, stored.sha256)
    assert NAME in str(caught.value)
    assert list(cache.iterdir()) == []


def test_the_copy_in_gridfs_can_be_checked_although_the_cache_is_good(
    files: ModelFileStore, db: Database[dict[str, Any]]
) -> None:
    stored = files.save(NAME, DATA)
    assert files.load_stored(NAME, stored.sha256) == DATA
    change_in_gridfs(db, NAME)
    assert files.load(NAME, stored.sha256) == DATA
    with pytest.raises(IntegrityError):
        files.load_stored(NAME, stored.sha256)


def test_a_lost_chunk_and_a_lost_file_are_integrity_errors(
    files: ModelFileStore, db: Database[dict[str, Any]], cache: Path
) -> None:
    stored = files.save(NAME, DATA)
    (cache / f"{NAME}.enc").unlink()
    db["model_files.chunks"].delete_one({"n": 1})
    with pytest.raises(IntegrityError, match="incomplete"):
        files.load(NAME, stored.sha256)
    files.remove(NAME)
    with pytest.raises(IntegrityError, match="missing"):
        files.load(NAME, stored.sha256)
    assert db["model_files.chunks"].count_documents({}) == 0


def test_a_wrong_key_opens_nothing(files: ModelFileStore, db: Database[dict[str, Any]], cache: Path) -> None:
    stored = files.save(NAME, DATA)
    with pytest.raises(IntegrityError, match="another key"):
        ModelFileStore(db, bytes(KEY_BYTES), cache).load(NAME, stored.sha256)


def test_a_taken_name_is_refused_and_the_first_file_stays(files: ModelFileStore, db: Database[dict[str, Any]]) -> None:
    stored = files.save(NAME, DATA)
    with pytest.raises(ModelFileExistsError, match=NAME):
        files.save(NAME, b"another model")
    assert files.load_stored(NAME, stored.sha256) == DATA
    assert db["model_files.files"].count_documents({}) == 1
    assert len(db["model_files.chunks"].distinct("files_id")) == 1


def test_models_saved_in_the_same_second_by_many_threads_do_not_collide(files: ModelFileStore) -> None:
    stored: list[tuple[StoredFile, bytes]] = []
    start = threading.Barrier(6)

    def save(number: int) -> None:
        data = f"model {number}".encode() * 1000
        start.wait()
        stored.append((files.save_model("lstm", "BTCUSDT", "1h", data, AT), data))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({file.name for file, _ in stored}) == 6
    assert {file.name for file, _ in stored} >= {NAME}
    for file, data in stored:
        assert files.load(file.name, file.sha256) == data
        assert files.load_stored(file.name, file.sha256) == data


def test_a_cache_that_cannot_be_written_leaves_nothing_in_gridfs(db: Database[dict[str, Any]], tmp_path: Path) -> None:
    blocked = tmp_path / "a file where the folder should be"
    blocked.write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|directory"):
        ModelFileStore(db, KEY, blocked).save(NAME, DATA)
    assert db["model_files.files"].count_documents({}) == 0
    assert db["model_files.chunks"].count_documents({}) == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "lstm_BTCUSDT_1h_20251122_143022.keras/x", "", "model.h5"])
def test_a_name_that_is_no_model_file_reaches_no_file_system(files: ModelFileStore, name: str) -> None:
    for use in (lambda: files.save(name, b""), lambda: files.load(name, ""), lambda: files.path(name, "")):
        with pytest.raises(BadInputError, match="Invalid model file name"):
            use()


def test_the_name_is_the_second_in_utc() -> None:
    in_hanoi = AT.astimezone(ZoneInfo("Asia/Ho_Chi_Minh"))
    assert model_file_name("lstm", "BTCUSDT", "1h", in_hanoi) == NAME


def test_the_sweep_removes_what_no_document_names_and_what_was_never_completed(
    files: ModelFileStore, db: Database[dict[str, Any]], cache: Path
) -> None:
    kept = files.save_model("lstm", "BTCUSDT", "1h", DATA, AT)
    lost = files.save_model("lstm", "BTCUSDT", "1h", DATA, AT)
    half = files.save_model("gru", "BTCUSDT", "1h", DATA, AT)
    db["model_files.files"].delete_one({"filename": half.name + ".enc"})  # as a kill during the upload leaves it
    now = datetime.now(UTC)
    assert files.sweep({kept.name}, before=now - timedelta(days=1)) == []
    assert len(db["model_files.chunks"].distinct("files_id")) == 3
    assert files.sweep({kept.name}, before=now + timedelta(minutes=1)) == [lost.name]
    assert len(db["model_files.chunks"].distinct("files_id")) == 1
    assert files.load_stored(kept.name, kept.sha256) == DATA
    assert not (cache / f"{lost.name}.enc").exists()


def test_a_lost_registry_does_not_cost_the_files_too(files: ModelFileStore, db: Database[dict[str, Any]]) -> None:
    registry, later = ModelRegistry(db), datetime.now(UTC) + timedelta(days=2)
    assert sweep_model_files(registry, files, later) == []
    kept, lost = (files.save_model("lstm", "BTCUSDT", "1h", DATA, AT) for _ in range(2))
    with pytest.raises(IntegrityError, match=r"registry of models is empty but 2 model file"):
        sweep_model_files(registry, files, later)
    registry.register(candidate("run", file=kept))
    assert sweep_model_files(registry, files, datetime.now(UTC)) == []
    assert sweep_model_files(registry, files, later) == [lost.name]
    assert files.load_stored(kept.name, kept.sha256) == DATA
