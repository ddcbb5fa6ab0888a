"""One checkpoint as bytes: a JSON header, then the arrays, behind a checksum. No pickle, nothing to execute.

magic (8) | SHA-256 of the rest (32) | header length (8, little endian) | header | arrays
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError

MAGIC = b"TOPSCKP1"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training as it stood after `epoch` finished epochs.

    `state` is JSON-able (history, best epoch, seed...), `arrays` holds weights and optimiser variables.
    """

    epoch: int
    state: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def pack(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint as bytes."""
    arrays = {name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}
    header = {
        "epoch": checkpoint.epoch,
        "state": checkpoint.state,
        "arrays": [[name, array.dtype.str, array.shape] for name, array in arrays.items()],
    }
    text = json.dumps(header).encode()
    body = b"".join(
        [len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(array.tobytes() for array in arrays.values())]
    )
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(data: bytes, name: str) -> Checkpoint:
    """Return the checkpoint that :func:`pack` wrote.

    :param name: of the file, for the message.
    :raises IntegrityError: for data that is truncated, changed, or no checkpoint.
    """
    start = len(MAGIC) + _DIGEST_BYTES
    if data[: len(MAGIC)] != MAGIC or len(data) < start + _LENGTH_BYTES:
        raise IntegrityError(f"Checkpoint {name} is truncated or no checkpoint ({len(data)} bytes); delete it")
    body = data[start:]
    if hashlib.sha256(body).digest() != data[len(MAGIC) : start]:
        raise IntegrityError(f"Checkpoint {name} is corrupt: its checksum does not match; delete it")
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    header = json.loads(body[_LENGTH_BYTES : _LENGTH_BYTES + length])
    arrays: dict[str, NDArray[Any]] = {}
    at = _LENGTH_BYTES + length
    for label, dtype, shape in header["arrays"]:
        count = math.prod(shape)
        array = np.frombuffer(body, np.dtype(dtype), count, at).reshape(shape)
        arrays[label] = array
        at += array.nbytes
    return Checkpoint(header["epoch"], header["state"], arrays)
