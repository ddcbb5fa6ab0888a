"""`python -m sandbox.frontend --port N`: a stand-in for the bot's dashboard, one HTML page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sandbox.kit.app import SandboxApp
from sandbox.kit.serve import parser, serve

PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Bot Core</title></head>'
    '<body><div id="root"><h1>Trading dashboard</h1></div></body></html>'
)
ETAG = '"sandbox-1"'


async def _page(request: Request) -> Response:
    if request.headers.get("if-none-match") == ETAG:
        return Response(status_code=304, headers={"etag": ETAG})
    return HTMLResponse(PAGE, headers={"etag": ETAG})


def frontend_app() -> SandboxApp:
    """Return the application: `GET /` is 200 with HTML, or 304 for a known ETag."""
    return SandboxApp("frontend", Starlette(routes=[Route("/", _page)]))


def main() -> None:
    """Serve until told to end."""
    serve("frontend", frontend_app(), parser("Stand-in for the bot's dashboard").parse_args())


if __name__ == "__main__":
    main()
