"""`python -m sandbox.sinks --port N --smtp-port M`: the sinks as a process."""

from __future__ import annotations

import socket

from sandbox.kit.ports import HOST, listen
from sandbox.kit.serve import parser, serve
from sandbox.sinks.app import SinkService


def main() -> None:
    """Serve until told to end."""
    arguments = parser("Slack, Discord, Telegram and SMTP sinks")
    arguments.add_argument("--smtp-port", type=int, default=0, help="TCP port of the mail server (default: a free one)")
    arguments.add_argument("--smtp-fd", type=int, help="inherited listening socket, instead of --smtp-port")
    options = arguments.parse_args()
    mail = socket.socket(fileno=options.smtp_fd) if options.smtp_fd is not None else listen(options.smtp_port)
    print(f"sandbox smtp: smtp://{HOST}:{mail.getsockname()[1]}")
    serve("sinks", SinkService(mail).app(), options)


if __name__ == "__main__":
    main()
