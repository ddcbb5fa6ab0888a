"""`python -m sandbox.openai_api --port N`: the OpenAI-compatible stand-in as a process."""

from __future__ import annotations

from sandbox.kit.serve import parser, serve
from sandbox.openai_api.app import OpenAiService


def main() -> None:
    """Serve until told to end."""
    serve("openai_api", OpenAiService().app(), parser("OpenAI-compatible stand-in").parse_args())


if __name__ == "__main__":
    main()
