"""Random numbers that depend on nothing but their coordinates.

A candle's noise is a function of (symbol, time, stream, position), so that every request, whatever
its range, and every process see the same candle. The mixing function is SplitMix64 (Steele, Lea,
Flood 2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def symbol_seed(symbol: str) -> int:
    """Return a seed that differs between symbols and is the same in every process."""
    return zlib.crc32(symbol.encode())


def uniforms(seed: int, keys: NDArray[np.int64], stream: int, width: int) -> NDArray[np.float64]:
    """Return numbers in (0, 1), shape `(len(keys), width)`: one row per key, independent streams."""
    with np.errstate(over="ignore"):
        start = np.uint64(seed * 1_000_003 + stream) * _GOLDEN
        rows = _mix(keys.astype(np.uint64) + start)[:, None]
        columns = (np.arange(width, dtype=np.uint64) + np.uint64(1))[None, :] * _GOLDEN
        bits = _mix(rows + columns)
    result: NDArray[np.float64] = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / float(1 << 53)
    return result


def normals(seed: int, keys: NDArray[np.int64], stream: int, width: int) -> NDArray[np.float64]:
    """Return standard normal numbers, shape `(len(keys), width)` (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniforms(seed, keys, stream, width)))
    result: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniforms(seed, keys, stream + 1, width))
    return result


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))
