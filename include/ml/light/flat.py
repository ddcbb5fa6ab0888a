"""Arrays to bytes and back: an index in JSON, then the numbers, as they lie in memory.

    magic `TOFA` | version (1 byte) | length of the index (4 bytes, little-endian) | index | float32, little-endian

The index is a JSON list of `[name, [sizes]]` in the order in which the arrays follow, each in row-major order. Reading
copies nothing: an npz file of the same arrays takes some thirty times as long, a pickle would execute what it is given.
"""

from __future__ import annotations

import json
import math
import struct

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError
from include.ml.light.layout import Arrays

MAGIC = b"TOFA"
VERSION = 1
_HEAD = struct.Struct("<4sBI")
_NUMBER = np.dtype("<f4")


def to_bytes(arrays: Arrays) -> bytes:
    """Return the arrays as one block of bytes."""
    index = json.dumps([[name, list(array.shape)] for name, array in arrays.items()], separators=(",", ":")).encode()
    numbers = [np.ascontiguousarray(array, _NUMBER).tobytes() for array in arrays.values()]
    return b"".join([_HEAD.pack(MAGIC, VERSION, len(index)), index, *numbers])


def from_bytes(data: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of :func:`to_bytes`, read-only, in the memory of `data`.

    :param name: whose arrays they are, for messages.
    :raises IntegrityError: for bytes of another format, or not as long as their index says.
    """
    try:
        magic, version, length = _HEAD.unpack_from(data)
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"format {magic!r} version {version}, this code reads {MAGIC!r} version {VERSION}")
        start = _HEAD.size + length
        index = [(str(key), tuple(int(size) for size in shape)) for key, shape in json.loads(data[_HEAD.size : start])]
        sizes = [math.prod(shape) for _, shape in index]
        if len(data) != start + _NUMBER.itemsize * sum(sizes):
            raise ValueError(f"{len(data)} bytes instead of {start + _NUMBER.itemsize * sum(sizes)}")
        numbers = np.frombuffer(data[start:], _NUMBER)
    except (struct.error, ValueError, TypeError) as error:
        raise IntegrityError(f"The weights of {name} cannot be read: {error}; train the model again") from error
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    return {
        key: numbers[end - size : end].reshape(shape)
        for (key, shape), size, end in zip(index, sizes, ends, strict=True)
    }
