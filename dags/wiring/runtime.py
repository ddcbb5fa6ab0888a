"""What a running task needs from its surroundings: clients, claims, messages.

Imported by DAG files, so everything heavy is imported inside the functions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.market.binance import BinanceClient
    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore
    from include.ml.promotion import Promotions
    from include.notify.message import Message
    from include.store.leases import Owner
    from include.trading.engine_client import EngineClient

log = logging.getLogger(__name__)

OVER = ("success", "failed")


def database() -> Database[dict[str, Any]]:
    """Return the bundle's database, its indexes made."""
    from include.store.collections import ensure_indexes
    from include.store.mongo import get_database

    db = get_database()
    ensure_indexes(db)
    return db


def usable_database() -> Database[dict[str, Any]] | None:
    """Return the database without asking it anything, or None where not even its address can be read.

    For what must not be lost, or not be kept from people, whatever is wrong with the connection.
    """
    from include.notify.scrub import excerpt
    from include.store.mongo import get_database

    try:
        return get_database()
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller goes on without
        log.error("mongo_default is not usable: %s: %s", type(error).__name__, excerpt(error))
        return None


@contextmanager
def binance() -> Iterator[BinanceClient]:
    """Open a client for the configured exchange address."""
    from include.market.binance import BinanceClient

    settings = get_settings()
    with BinanceClient(
        settings.binance_base_url, timeout_s=settings.binance_timeout_s, max_attempts=settings.binance_max_attempts
    ) as client:
        yield client


def engine() -> EngineClient:
    """Return a client for the trading bot's core engine."""
    from include.trading.engine_client import EngineClient

    settings = get_settings()
    return EngineClient(settings.engine_base_url, settings.engine_timeout_s)


def model_files(db: Database[dict[str, Any]]) -> ModelFileStore:
    """Return the store of the encrypted model files.

    :raises include.errors.ConfigurationError: without a usable encryption key.
    """
    from include.ml.encryption import model_key
    from include.ml.model_files import ModelFileStore

    settings = get_settings()
    return ModelFileStore(db, model_key(settings), settings.model_cache_dir)


def model_weights(db: Database[dict[str, Any]]) -> WeightStore:
    """Return the store of the models' plain weights, for forecasts without TensorFlow.

    :raises include.errors.ConfigurationError: without a usable encryption key.
    """
    from include.ml.encryption import model_key
    from include.ml.light.weight_store import WeightStore

    return WeightStore(db, model_key(get_settings()))


def owner_of(context: Mapping[str, Any]) -> Owner:
    """Return the running task's run as the owner of claims."""
    from include.store.leases import Owner

    return Owner(context["ti"].dag_id, context["ti"].run_id)


def triggering_user(context: Mapping[str, Any]) -> str | None:
    """Return the name of the user who started the run; children inherit it, a schedule has none."""
    name = getattr(context["dag_run"], "triggering_user_name", None)
    return str(name) if name else None


def owner_is_over(context: Mapping[str, Any]) -> Callable[[Owner], bool]:
    """Return a question to Airflow: has that run ended, or is it gone?"""
    ti = context["ti"]

    def is_over(owner: Owner) -> bool:
        if not ti.get_dr_count(dag_id=owner.dag_id, run_ids=[owner.run_id]):
            return True
        return ti.get_dagrun_state(dag_id=owner.dag_id, run_id=owner.run_id) in OVER

    return is_over


def promotions(db: Database[dict[str, Any]] | None = None) -> Promotions:
    """Return the operations that judge candidates and change champions, on the given connection or a new one."""
    from include.market.candle_store import CandleStore
    from include.ml.deployment import DeployRule
    from include.ml.promotion import Promotions
    from include.ml.registry import ModelRegistry

    settings = get_settings()
    db = database() if db is None else db
    return Promotions(
        ModelRegistry(db),
        model_files(db),
        CandleStore(db),
        DeployRule.from_settings(settings),
        settings.min_comparison_bars,
        weights=model_weights(db),
    )


def send(message: Message) -> dict[str, str]:
    """Keep a message in the outbox and try to deliver it at once; return the state per channel.

    A channel that fails keeps the message pending. While MongoDB is away the message waits in the spool. The task's
    XCom `notification` says for each of its messages what became of it, also that it reached nobody.
    """
    from include.notify.deliver import deliver

    states = deliver(usable_database(), message, get_settings())
    _say_in_xcom(message, states)
    return states


_sent: dict[str, dict[str, Any]] = {}
"""What the task of this process has sent: XCom keeps one value a key."""


def _say_in_xcom(message: Message, states: dict[str, str]) -> None:
    """Note in the running task's XCom what became of a message; nothing that goes wrong here hurts the task."""
    from airflow.sdk import get_current_context

    from include.notify.deliver import every_channel_failed

    _sent[message.dedupe_key] = {
        "title": message.title, "channels": states, "every_channel_failed": every_channel_failed(states),
    }  # fmt: skip
    try:
        get_current_context()["ti"].xcom_push(key="notification", value=list(_sent.values()))
    except Exception as error:  # noqa: BLE001 - outside of a task, or in a callback after its end
        log.debug("what became of message %r is not in an XCom: %s", message.title, error)
