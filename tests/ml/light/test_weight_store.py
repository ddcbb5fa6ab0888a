"""Plain weights in a real MongoDB: encrypted, verified before use, and never two truths under one name."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.database import Database
from pymongo.monitoring import CommandListener

from include.errors import BadInputError, IntegrityError, ServiceUnavailableError
from include.ml.encryption import KEY_BYTES, WrongKeyError
from include.ml.light.flat import from_bytes, to_bytes
from include.ml.light.weight_store import WeightStore
from include.ml.model_sweep import sweep_model_weights
from include.ml.registry import ModelRegistry
from tests.ml.light.places import KEY
from tests.ml.models import candidate, stored_file

NAME = "lstm_BTCUSDT_1h_20251122_143022.keras"
OTHER = "lstm_ETHUSDT_1h_20251122_143022.keras"
ARRAYS = {
    "lstm_1/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "lstm_1/bias": np.array([np.nan, np.inf, -0.0], np.float32),
    "empty": np.zeros((0, 2), np.float32),
}


@pytest.fixture
def weights(db: Database[dict[str, Any]]) -> WeightStore:
    return WeightStore(db, KEY)


def same(found: object, expected: dict[str, np.ndarray] = ARRAYS) -> None:
    assert isinstance(found, dict), found
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].tobytes()) == (array.shape, array.tobytes())


@pytest.mark.critical
def test_saved_weights_are_encrypted_at_rest_and_load(weights: WeightStore, db: Database[dict[str, Any]]) -> None:
    sha256 = weights.save(NAME, ARRAYS)
    document = db["model_weights"].find_one({"_id": NAME})
    assert document is not None
    assert sha256 == document["sha256"] == hashlib.sha256(document["blob"]).hexdigest()
    assert b"lstm_1/kernel" not in document["blob"]
    assert b"lstm_1/kernel" in to_bytes(ARRAYS)
    same(weights.load_many({NAME: sha256})[NAME])


def test_saving_again_replaces_and_never_duplicates(weights: WeightStore, db: Database[dict[str, Any]]) -> None:
    first = weights.save(NAME, {"other": np.ones(2, np.float32)})
    second = weights.save(NAME, ARRAYS)
    assert db["model_weights"].count_documents({}) == 1
    loaded = weights.load_many({NAME: first})[NAME]
    assert isinstance(loaded, IntegrityError)
    same(weights.load_many({NAME: second})[NAME])


def test_many_are_loaded_by_one_query_and_each_says_for_itself_what_is_wrong(db: Database[dict[str, Any]]) -> None:
    commands: list[str] = []

    class Listener(CommandListener):
        def started(self, event: Any) -> None:
            commands.append(event.command_name)

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    host, port = db.client.address or ("", 0)
    with pymongo.MongoClient[dict[str, Any]](host, port, event_listeners=[Listener()]) as client:
        weights = WeightStore(client[db.name], KEY)
        names = [f"lstm_A{number}USDT_1h_20251122_143022.keras" for number in range(40)]
        wanted = {name: weights.save(name, ARRAYS) for name in names}
        db["model_weights"].delete_one({"_id": names[3]})
        commands.clear()
        loaded = weights.load_many({**wanted, names[5]: "0" * 64})
        assert commands == ["find"]
        assert weights.load_many({}) == {}
    assert set(loaded) == set(names)
    for name in names:
        if name in (names[3], names[5]):
            assert isinstance(loaded[name], IntegrityError)
            assert name in str(loaded[name])
        else:
            same(loaded[name])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("changed", "corrupt in the database: SHA-256"),
        ("truncated", "corrupt in the database: SHA-256"),
        ("removed", "missing from the database"),
        ("no bytes", "no bytes in the database"),
    ],
)
def test_damaged_weights_are_an_integrity_error_with_a_remedy(
    damage: str, complaint: str, weights: WeightStore, db: Database[dict[str, Any]]
) -> None:
    sha256 = weights.save(NAME, ARRAYS)
    blob = db["model_weights"].find_one({"_id": NAME})["blob"]  # type: ignore[index]
    if damage == "removed":
        weights.remove(NAME)
        weights.remove(NAME)
    else:
        spoiled = {"changed": blob[:-1] + bytes([blob[-1] ^ 1]), "truncated": blob[:40], "no bytes": "text"}[damage]
        db["model_weights"].update_one({"_id": NAME}, {"$set": {"blob": spoiled}})
    error = weights.load_many({NAME: sha256})[NAME]
    assert isinstance(error, IntegrityError)
    assert f"The weights of {NAME}" in str(error)
    assert complaint in str(error)
    assert "train it again" in str(error)


def test_a_wrong_key_opens_nothing_and_is_told_apart(weights: WeightStore, db: Database[dict[str, Any]]) -> None:
    sha256 = weights.save(NAME, ARRAYS)
    error = WeightStore(db, bytes(KEY_BYTES)).load_many({NAME: sha256})[NAME]
    assert isinstance(error, WrongKeyError)
    assert "another key" in str(error)


def test_weights_put_under_another_models_name_do_not_open(weights: WeightStore, db: Database[dict[str, Any]]) -> None:
    sha256 = weights.save(NAME, ARRAYS)
    document = db["model_weights"].find_one({"_id": NAME})
    assert document is not None
    db["model_weights"].insert_one({**document, "_id": OTHER})
    error = weights.load_many({OTHER: sha256})[OTHER]
    assert isinstance(error, IntegrityError)
    assert "its contents or its name were changed" in str(error)


def test_a_name_that_is_no_model_file_is_refused(weights: WeightStore) -> None:
    for use in (
        lambda: weights.save("../x", ARRAYS),
        lambda: weights.save_once("x", ARRAYS),
        lambda: weights.remove(""),
    ):
        with pytest.raises(BadInputError, match="Invalid model file name"):
            use()


def test_whoever_stores_the_same_weights_at_once_is_told_of_the_same_bytes(db: Database[dict[str, Any]]) -> None:
    hashes: list[str] = []
    start = threading.Barrier(6)

    def save() -> None:
        store = WeightStore(db, KEY)
        start.wait()
        hashes.append(store.save_once(NAME, ARRAYS))

    threads = [threading.Thread(target=save) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 6
    assert len(set(hashes)) == 1
    same(WeightStore(db, KEY).load_many({NAME: hashes[0]})[NAME])


def test_what_was_left_behind_damaged_or_of_other_weights_is_replaced_once(
    weights: WeightStore, db: Database[dict[str, Any]]
) -> None:
    weights.save(NAME, {"other": np.ones(2, np.float32)})
    second = weights.save_once(NAME, ARRAYS)
    assert weights.save_once(NAME, ARRAYS) == second
    db["model_weights"].update_one({"_id": NAME}, {"$set": {"blob": b"rubbish"}})
    third = weights.save_once(NAME, ARRAYS)
    assert third != second
    same(weights.load_many({NAME: third})[NAME])


def test_the_sweep_removes_old_weights_that_no_model_refers_to(
    weights: WeightStore, db: Database[dict[str, Any]]
) -> None:
    registry, now = ModelRegistry(db), datetime.now(UTC)
    later = now + timedelta(days=2)
    assert sweep_model_weights(registry, weights, later) == []
    sha256 = weights.save(NAME, ARRAYS)
    weights.save(OTHER, ARRAYS)
    with pytest.raises(IntegrityError, match=r"registry of models is empty but 2 set\(s\) of plain weights"):
        sweep_model_weights(registry, weights, later)
    registry.register(candidate("run", file=stored_file(NAME)))
    assert sweep_model_weights(registry, weights, now) == []
    assert sweep_model_weights(registry, weights, later) == [OTHER]
    assert weights.count() == 1
    same(weights.load_many({NAME: sha256})[NAME])


def test_a_mongodb_that_is_away_is_a_transient_error_that_says_what_could_not_be_done() -> None:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient("127.0.0.1", 1, serverSelectionTimeoutMS=50)
    with client, pytest.raises(ServiceUnavailableError, match="loading the models' weights"):
        WeightStore(client["any"], KEY).load_many({NAME: "0" * 64})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"TOFA",
        to_bytes(ARRAYS)[:-1],
        to_bytes(ARRAYS) + b"\0",
        b"XXXX" + to_bytes(ARRAYS)[4:],
        to_bytes(ARRAYS)[:4] + b"\x09" + to_bytes(ARRAYS)[5:],
        to_bytes(ARRAYS).replace(b"[3,4]", b'["",]'),
        to_bytes(ARRAYS).replace(b"[0,2]", b"[-2,]"),
        to_bytes(ARRAYS).replace(b"[[", b"{["),
    ],
)
def test_bytes_of_another_format_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=f"weights of {NAME} cannot be read"):
        from_bytes(data, NAME)


def test_loaded_arrays_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        from_bytes(to_bytes(ARRAYS), NAME)["lstm_1/kernel"][0, 0] = 1.0
