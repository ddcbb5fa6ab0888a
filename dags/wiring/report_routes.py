"""The application that shows the stored pages of strategy runs; runs in Airflow's API server.

Whoever may read a DAG's runs may read their pages, by the token or by the cookie of the UI; nobody else.
"""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from include.strategies.report_http import ALWAYS, NEVER_KEPT, report_answer
from include.strategies.reports import Report, ReportStore

MONGO_TIMEOUT_S = 10.0

app = FastAPI(title="Strategy reports", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
def refused(_: Request, error: HTTPException) -> JSONResponse:
    """Answer who is not logged in (401), may not read the DAG (403) or asks for an address that is none (404)."""
    headers = {**ALWAYS, **NEVER_KEPT, **(error.headers or {})}
    return JSONResponse({"detail": error.detail}, error.status_code, headers)


@app.api_route(
    "/{dag_id}/{run_id}/{name}",
    methods=["GET", "HEAD"],
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))],
)
def page(dag_id: str, run_id: str, name: str, request: Request) -> Response:
    """Return a run's page or table."""
    answer = report_answer(
        lambda: load(dag_id, run_id, name),
        accept_encoding=request.headers.get("accept-encoding", ""),
        if_none_match=request.headers.get("if-none-match", ""),
    )
    return Response(answer.body, answer.status, answer.headers)


def load(dag_id: str, run_id: str, name: str) -> Report | None:
    """Return a page from the database of the connection `mongo_default`, as it is now.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away, or the connection is not usable.
    """
    import pymongo

    from dags.wiring.runtime import usable_database
    from include.errors import ServiceUnavailableError

    db = usable_database()
    if db is None:
        raise ServiceUnavailableError("No pages: the API server cannot use the connection mongo_default; correct it")
    with db.client, pymongo.timeout(MONGO_TIMEOUT_S):
        return ReportStore(db).load(dag_id, run_id, name)
