"""The application that shows the stored pages of strategy runs; runs in Airflow's API server.

Whoever may read a DAG's runs may read their pages, by the token or by the cookie of the UI; nobody else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from include.strategies.reports import Report

MONGO_TIMEOUT_S = 10.0


@lru_cache(maxsize=1)
def application() -> FastAPI:
    """Return the application of this process; Airflow's part of it takes a second to import."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, Header, Response
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    from include.strategies.report_http import ALWAYS, NEVER_KEPT, report_answer

    app = FastAPI(title="Strategy reports", docs_url=None, redoc_url=None, openapi_url=None)

    def refused(_: object, error: Exception) -> Response:
        """Answer who is not logged in (401), may not read the DAG (403) or asks for an address that is none (404)."""
        assert isinstance(error, HTTPException)
        headers = {**ALWAYS, **NEVER_KEPT, **(error.headers or {})}
        return JSONResponse({"detail": error.detail}, error.status_code, headers)

    def page(
        dag_id: str, run_id: str, name: str, accept_encoding: str = Header(""), if_none_match: str = Header("")
    ) -> Response:
        """Return a run's page or table."""
        answer = report_answer(
            lambda: load(dag_id, run_id, name), accept_encoding=accept_encoding, if_none_match=if_none_match
        )
        return Response(answer.body, answer.status, answer.headers)

    app.add_exception_handler(HTTPException, refused)
    app.add_api_route(
        "/{dag_id}/{run_id}/{name}",
        page,
        methods=["GET", "HEAD"],
        response_model=None,
        dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))],
    )
    return app


def load(dag_id: str, run_id: str, name: str) -> Report | None:
    """Return a page from the database of the connection `mongo_default`, as it is now.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away, or the connection is not usable.
    """
    import pymongo

    from dags.wiring.runtime import usable_database
    from include.errors import ServiceUnavailableError
    from include.strategies.reports import ReportStore

    db = usable_database()
    if db is None:
        raise ServiceUnavailableError("No pages: the API server cannot use the connection mongo_default; correct it")
    with db.client, pymongo.timeout(MONGO_TIMEOUT_S):
        return ReportStore(db).load(dag_id, run_id, name)
