"""The client of Airflow's API against a server that is away for a moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ops.client import AirflowClient

NEVER_ANSWERED = "/api/v2/dags/d/dagRuns/lost"


class Handler(BaseHTTPRequestHandler):
    """Breaks off the first two questions for a run, and every one for the lost run."""

    asked: list[str]

    def do_POST(self) -> None:
        self._answer({"access_token": "t"})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == NEVER_ANSWERED or len(self.asked) < 3:
            self.close_connection = True
        else:
            self._answer({"state": "success"})

    def _answer(self, document: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def client() -> Iterator[AirflowClient]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        with AirflowClient(f"http://127.0.0.1:{server.server_port}") as client:
            yield client
        server.shutdown()


def test_a_server_that_breaks_off_is_asked_again(client: AirflowClient) -> None:
    assert client.wait("d", "r", timeout_s=30, poll_s=0.01) == "success"
    assert len(Handler.asked) == 3


def test_one_that_never_answers_is_named_when_the_time_is_over(client: AirflowClient) -> None:
    with pytest.raises(TimeoutError, match="run lost of d is still not known"):
        client.wait("d", "lost", timeout_s=0.1, poll_s=0.01)
