"""The one place that turns the Airflow connection `mongo_default` into a database handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.mongo.hooks.mongo import MongoHook
from pymongo import WriteConcern

from include.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

MONGO_CONN_ID = "mongo_default"


def get_database() -> Database[dict[str, Any]]:
    """Return the bundle's database with majority, journaled writes and timezone-aware times.

    The time-outs come from the connection (`serverSelectionTimeoutMS` in its extras).

    :raises airflow.exceptions.AirflowNotFoundException: without a connection `mongo_default`.
    """
    from bson.codec_options import CodecOptions

    client = MongoHook(mongo_conn_id=MONGO_CONN_ID).get_conn()
    return client.get_database(
        get_settings().mongo_database,
        codec_options=CodecOptions(tz_aware=True),
        write_concern=WriteConcern(w="majority", j=True),
    )
