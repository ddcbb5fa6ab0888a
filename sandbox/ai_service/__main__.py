"""`python -m sandbox.ai_service --port N`: the stand-in for the bot's AI service as a process."""

from __future__ import annotations

from sandbox.ai_service.app import AiService
from sandbox.kit.serve import parser, serve


def main() -> None:
    """Serve until told to end."""
    arguments = parser("Stand-in for the bot's AI service")
    arguments.add_argument("--spec-endpoints", action="store_true", help="add what only the specification has")
    options = arguments.parse_args()
    serve("ai_service", AiService(options.spec_endpoints).app(), options)


if __name__ == "__main__":
    main()
