"""Tells Prometheus the figures of the bundle: costs, models, kill switches, failures, waiting work.

    python -m ops.metrics_exporter --host 127.0.0.1 --port 9102

A process of its own that reads MongoDB and Airflow's database when it is asked: what it says does not depend on which
worker was restarted when, and nothing is counted in memory. While one of the two is away, its figures are absent and
`trading_ops_source_up` says so; an old figure is never repeated.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pymongo.errors import PyMongoError
from sqlalchemy.exc import SQLAlchemyError

from include.errors import TradingOpsError
from include.metrics.costs import cost_gauges
from include.metrics.gauge import Gauge
from include.metrics.models import model_gauges
from include.metrics.operations import operation_gauges
from include.metrics.waiting import waiting_gauges
from include.settings import Settings

log = logging.getLogger(__name__)

Source = Callable[[], list[Gauge]]
OUTAGES = (TradingOpsError, PyMongoError, SQLAlchemyError, OSError)
SOURCE_UP = "trading_ops_source_up"


class Figures(Collector):
    """Asks every source at every scrape."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources = sources

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: the registry must not ask the sources at the start."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what the sources say now."""
        up = GaugeMetricFamily(SOURCE_UP, "1 while the figures of this source could be read.", labels=["source"])
        for name, source in self._sources.items():
            try:
                gauges = source()
            except OUTAGES as error:
                log.warning("the figures of %s cannot be read: %s: %s", name, type(error).__name__, error)
                gauges = []
                up.add_metric([name], 0.0)
            else:
                up.add_metric([name], 1.0)
            yield from map(_family, gauges)
        yield up


def _family(gauge: Gauge) -> GaugeMetricFamily:
    names = [name for name, _ in next(iter(gauge.values), ())]
    family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=names)
    for labels, value in gauge.values.items():
        family.add_metric([text for _, text in labels], value)
    return family


def sources_of(settings: Settings) -> dict[str, Source]:
    """Return the two sources of this deployment, as Airflow's configuration names them."""
    from airflow.configuration import conf
    from sqlalchemy import create_engine

    from dags.wiring.defaults import PRIORITY
    from include.store.mongo import get_database

    engine = create_engine(conf.get("database", "sql_alchemy_conn"), pool_size=1, max_overflow=1, pool_pre_ping=True)

    def of_mongo() -> list[Gauge]:
        now, db = datetime.now(UTC), get_database()
        try:
            return [*cost_gauges(db, settings, now), *model_gauges(db), *operation_gauges(db, now)]
        finally:
            db.client.close()

    return {"mongodb": of_mongo, "airflow": lambda: waiting_gauges(engine, tuple(PRIORITY))}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every half minute is no news."""


def server(sources: dict[str, Source], host: str, port: int) -> WSGIServer:
    """Return the server, bound but not serving: `/metrics`, and `/healthz`, which asks no source."""
    registry = CollectorRegistry()
    registry.register(Figures(sources))
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)
        known = environ["PATH_INFO"] == "/healthz"
        start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain")])
        return [b"ok\n" if known else b"/metrics or /healthz\n"]

    return make_server(host, port, app, server_class=_Server, handler_class=_Quiet)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9102)
    arguments = parser.parse_args()
    server(sources_of(Settings()), arguments.host, arguments.port).serve_forever()


if __name__ == "__main__":
    main()
