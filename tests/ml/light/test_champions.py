"""Champions with their weights, from the registry and the store; what cannot be read says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.database import Database
from pymongo.monitoring import CommandListener

from include.ml.encryption import KEY_BYTES
from include.ml.light.champions import LightChampion, Place, UnreadableChampion, load_champions
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from tests.ml.light.networks import perturbed, similar, spec_of
from tests.ml.light.places import KEY, Places
from tests.ml.models import candidate


def one(found: dict[Place, LightChampion | UnreadableChampion]) -> LightChampion | UnreadableChampion:
    (only,) = found.values()
    return only


def unreadable(places: Places, place: Place) -> UnreadableChampion:
    found = one(places.load(place))
    assert isinstance(found, UnreadableChampion)
    return found


def good(places: Places, symbol: str = "BTCUSDT") -> Place:
    network = perturbed("gru")
    return places.champion(network.arrays, spec_of(network, symbol))


@pytest.mark.critical
def test_champions_come_with_record_description_weights_and_version(places: Places) -> None:
    place, other = good(places), good(places, "ETHUSDT")
    found = places.load(other, place, ("lstm", "BTCUSDT", "1h"), ("gru", "BTCUSDT", "4h"))
    assert list(found) == [other, place]
    champion = found[place]
    assert isinstance(champion, LightChampion)
    assert champion.record == replace(places.record(place), training={})
    assert champion.record.feature_distribution == {"version": 1}
    assert champion.spec == spec_of(perturbed("gru"), "BTCUSDT")
    assert champion.version == 1
    for name, array in perturbed("gru").arrays.items():
        np.testing.assert_array_equal(champion.arrays[name], array)


def test_as_many_queries_for_many_places_as_for_one(places: Places) -> None:
    commands: list[str] = []

    class Listener(CommandListener):
        def started(self, event: Any) -> None:
            commands.append(f"{event.command_name} {event.command[event.command_name]}")

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    network = perturbed("gru")
    symbols = [f"A{number}USDT" for number in range(30)]
    every = [
        places.champion(arrays, spec_of(network, symbol))
        for arrays, symbol in zip(similar(network, 30), symbols, strict=True)
    ]
    host, port = places.db.client.address or ("", 0)
    with pymongo.MongoClient[dict[str, Any]](host, port, event_listeners=[Listener()], tz_aware=True) as client:
        db = client[places.db.name]
        found = load_champions(db, WeightStore(db, KEY), places.files, every)
        seen = list(commands)
    assert seen == ["find champions", "find models", "find model_weights"]
    assert list(found) == every
    assert all(isinstance(champion, LightChampion) for champion in found.values())


def test_damaged_weights_make_their_champion_unreadable_and_no_other(places: Places) -> None:
    place, other = good(places), good(places, "ETHUSDT")
    record = places.record(place)
    places.db["model_weights"].update_one({"_id": record.file.name}, {"$set": {"blob": b"rubbish"}})
    found = places.load(place, other)
    spoiled = found[place]
    assert isinstance(spoiled, UnreadableChampion)
    assert (spoiled.record, spoiled.model_id) == (replace(record, training={}), record.id)
    assert spoiled.champion_at_fault
    for part in (record.id, "corrupt in the database", "roll back to an archived model, or train it again"):
        assert part in spoiled.reason
    assert isinstance(found[other], LightChampion)


def test_missing_weights_and_those_of_another_hash_are_unreadable(places: Places) -> None:
    place, other = good(places), good(places, "ETHUSDT")
    places.weights.remove(places.record(place).file.name)
    assert "missing from the database" in unreadable(places, place).reason
    places.weights.save(places.record(other).file.name, similar(perturbed("gru"), 1)[0])
    assert "SHA-256" in unreadable(places, other).reason


def test_under_another_key_no_champion_is_at_fault(places: Places, tmp_path: Path) -> None:
    plain, older = good(places), places.older(perturbed("gru"), "ETHUSDT")
    key = bytes(KEY_BYTES)
    files = ModelFileStore(places.db, key, tmp_path / "elsewhere")
    found = load_champions(places.db, WeightStore(places.db, key), files, [plain, older])
    for place in (plain, older):
        spoiled = found[place]
        assert isinstance(spoiled, UnreadableChampion)
        assert "another key" in spoiled.reason
        assert not spoiled.champion_at_fault


def test_a_champion_that_the_registry_does_not_know_or_keeps_damaged_is_unreadable(places: Places) -> None:
    place, other = good(places), good(places, "ETHUSDT")
    places.db["models"].delete_one({"symbol": "BTCUSDT"})
    lost = unreadable(places, place)
    assert lost.record is None
    assert "gru:BTCUSDT:1h is run-BTCUSDT:gru, which is not in the registry" in lost.reason
    places.db["models"].update_one({"symbol": "ETHUSDT"}, {"$unset": {"file": 1}})
    damaged = unreadable(places, other)
    assert damaged.record is None
    assert "is damaged (KeyError: 'file'); restore" in damaged.reason


def test_a_pointer_to_a_model_of_another_place_is_not_followed(places: Places) -> None:
    place, other = good(places), good(places, "ETHUSDT")
    places.db["champions"].update_one({"_id": "gru:BTCUSDT:1h"}, {"$set": {"model_id": places.record(other).id}})
    assert "a model of gru:ETHUSDT:1h" in unreadable(places, place).reason


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"spec.symbol": "ETHUSDT"}, "other model type, symbol or timeframe"),
        ({"spec.scaler_mean": [0.0] * 19}, "other number of features"),
        ({"spec.quantile_horizons": [1, 2]}, "other number of horizons"),
        ({"spec.target": "return"}, "other target"),
        ({"spec.window": 0}, "other window"),
        ({"spec.scaler_scale": None}, "its description is damaged"),
        ({"spec": None}, "its description is damaged"),
        ({"spec.moon_phase": 1}, r"unknown ['moon_phase']"),
    ],
)
def test_a_description_that_does_not_fit_the_weights_is_refused(
    changes: dict[str, Any], complaint: str, places: Places
) -> None:
    place = good(places)
    places.db["models"].update_one({"symbol": "BTCUSDT"}, {"$set": changes})
    assert complaint in unreadable(places, place).reason


def test_weights_of_another_type_are_refused(places: Places) -> None:
    place = places.champion(perturbed("lstm").arrays, spec_of(perturbed("gru"), "BTCUSDT"))
    assert "not the weights of a gru network" in unreadable(places, place).reason


@pytest.mark.parametrize("model_type", ["lstm", "gru", "transformer"])
def test_an_older_model_is_read_through_keras_once_and_completed(model_type: str, places: Places) -> None:
    network = perturbed(model_type)
    place = places.older(network)
    assert places.record(place).weights_sha256 is None
    first = one(places.load(place))
    assert isinstance(first, LightChampion)
    record = places.record(place)
    assert record.weights_sha256 is not None
    places.files.remove(record.file.name)  # so that the second time cannot come from Keras
    second = one(places.load(place))
    assert isinstance(second, LightChampion)
    for found in (first, second):
        for name, array in network.arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)


def test_an_older_model_whose_file_is_damaged_is_unreadable_and_stays_as_it_was(
    places: Places, db: Database[dict[str, Any]]
) -> None:
    place = places.older(perturbed("gru"))
    places.files.remove(places.record(place).file.name)
    assert "missing from the database" in unreadable(places, place).reason
    assert places.record(place).weights_sha256 is None
    assert places.weights.count() == 0


def test_a_record_is_completed_only_for_the_file_that_the_weights_came_from(places: Places) -> None:
    place = places.older(perturbed("gru"))
    record = places.record(place)
    other = replace(record.file, sha256="0" * 64)
    assert not places.registry.complete_weights(record.id, other, "a")
    assert places.registry.complete_weights(record.id, record.file, "b")
    assert not places.registry.complete_weights(record.id, record.file, "c")
    assert places.record(place).weights_sha256 == "b"


def test_a_candidate_is_nobodys_champion(places: Places) -> None:
    places.registry.register(candidate("run"))
    assert places.load(("lstm", "BTCUSDT", "1h")) == {}
    assert places.load() == {}
