"""The TCP ports of one environment: free ones, chosen once and kept."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.files import read_json, write_json

SANDBOX = ("engine", "ai_service", "frontend", "binance", "openai_api", "sinks", "smtp")
NAMES = ("api", "mongod", *SANDBOX)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def load_or_choose(
    path: Path, *, keep: bool, preferred: Mapping[str, int] | None = None, names: Sequence[str] = NAMES
) -> dict[str, int]:
    """Return the environment's ports by name and write them to `path`.

    :param preferred: ports by name that a new environment takes when they are free.

    A port that somebody else took meanwhile is replaced, unless `keep` says that the environment is running
    (then it is the one that listens there).
    """
    document = read_json(path)
    ports = {name: int(port) for name, port in document.get("ports", {}).items()}
    if keep and set(names) <= set(ports):
        return ports
    for name in names:
        port = ports.get(name) or (preferred or {}).get(name)
        if port is None or port in {ports[other] for other in ports if other != name} or not is_free(port):
            ports[name] = _any_free(set(ports.values()))
        else:
            ports[name] = port
    if ports != document.get("ports"):
        write_json(path, {**document, "ports": ports})
    return ports
