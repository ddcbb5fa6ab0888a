"""Whether the market that a model sees still looks like the one that it learned from.

The population stability index (PSI) compares the shares of two samples in the same bins, here the deciles of the
training:

    PSI = sum over the bins of (recent - training) * ln(recent / training)

It is the symmetric Kullback-Leibler divergence of the binned distributions; 0 is no change, and 0.2 is the customary
mark of a change worth acting on. Source: N. Siddiqi, Credit Risk Scorecards, 2006, chapter "Scorecard
implementation"; its distribution: B. Yurdakul, Statistical Properties of Population Stability Index, 2018.

That mark was made for independent observations, of which 168 against 900 give 0.06 on average. Neighbouring bars
are not independent: a quiet week fills few of the bins and has a high PSI by nature. So the training's own weeks are
measured the same way, each against the rest of the training, and a report says both: whether the PSI is above the
mark, and whether it is unusual, above 95 % of the training's weeks.

Features of the calendar are left out: they follow from the clock, so nothing about them can drift, and a window that
is no whole number of weeks would differ from the training by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError, IntegrityError

DRIFT_BARS = 168
"""Newest bars that are compared with the training: a week of hourly ones."""
BINS = 10
VERSION = 1
CALENDAR_FEATURES = frozenset({"hour_sin", "hour_cos", "week_sin", "week_cos"})
USUAL_QUANTILE = 0.95
MIN_ROWS = 48
"""Fewer rows make no deciles worth comparing with (the smallest training part has as many samples)."""

_PRIOR = 0.5
"""Added to the count of every bin (Jeffreys' prior), so that an empty bin has a small share and no infinite PSI."""
_BLOCK_STEP = 24

FloatArray = NDArray[np.float64]


def feature_distribution(names: Sequence[str], features: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Return what later features are compared with; JSON-able, about 7 KB.

    :param features: `(n, F)`, the values of `compute_features` (unscaled) on the rows that the scaler was fitted on,
        in time order, without rows still warming up.
    :returns: `version`, `rows` and per feature `edges` (of the deciles, ascending; a value that many rows share has a
        bin of its own), `shares` (one more than edges) and `usual_psi_95`: the 95 % quantile of the PSI of the
        training's own blocks of 168 bars, a new one every 24 bars, each against the rest; None where the training is
        shorter than two blocks.
    :raises BadInputError: for fewer than 48 rows, or a value that is not finite.
    """
    kept, values = _without_calendar(names, features)
    if len(values) < MIN_ROWS:
        raise BadInputError(f"A distribution of features needs {MIN_ROWS} rows, found {len(values)}; train on more")
    if not np.isfinite(values).all():
        raise BadInputError(
            "A distribution of features needs finite numbers; leave out the rows that are still warming up"
        )
    described = {}
    for name, column in zip(kept, values.T, strict=True):
        edges = _edges(column)
        bins = np.searchsorted(edges, column)
        described[name] = {
            "edges": [float(edge) for edge in edges],
            "shares": [float(share) for share in _shares(np.bincount(bins, minlength=len(edges) + 1))],
            "usual_psi_95": _usual_psi(bins, len(edges) + 1),
        }
    return {"version": VERSION, "rows": len(values), "features": described}


def psi_by_feature(
    distribution: Mapping[str, Any], names: Sequence[str], features: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Return the PSI of every feature of `features` `(n, F)` (unscaled) against a training's distribution.

    All rows count; pass the newest `DRIFT_BARS`.

    :raises BadInputError: without rows, or for a value that is not finite.
    :raises IntegrityError: when the distribution is of other features, or was written by other code.
    """
    kept, values = _without_calendar(names, features)
    described = _described(distribution)
    if set(kept) != set(described):
        raise IntegrityError(
            f"the training's distribution is of other features ({', '.join(described)}) than this code computes "
            f"({', '.join(kept)}); train the model again"
        )
    if not len(values) or not np.isfinite(values).all():
        raise BadInputError("the PSI needs at least one row, and finite numbers; load more candles")
    widest = max(len(described[name]["edges"]) for name in kept)
    edges = np.full((len(kept), widest), np.inf)
    expected = np.ones((len(kept), widest + 1))
    used = np.zeros((len(kept), widest + 1), bool)
    for row, name in enumerate(kept):
        own = described[name]["edges"]
        edges[row, : len(own)] = own
        expected[row, : len(own) + 1] = described[name]["shares"]
        used[row, : len(own) + 1] = True
    bins = (values[:, :, None] > edges).sum(axis=2)  # as searchsorted, of all features at once
    flat = np.bincount((bins + np.arange(len(kept)) * (widest + 1)).ravel(), minlength=used.size)
    counts = np.where(used, flat.reshape(used.shape) + _PRIOR, 0.0)
    recent = np.where(used, counts / counts.sum(axis=1, keepdims=True), 1.0)
    psi = ((recent - expected) * np.log(recent / expected)).sum(axis=1)
    return {name: float(value) for name, value in zip(kept, psi, strict=True)}


def drift_report(
    distribution: Mapping[str, Any] | None,
    names: Sequence[str],
    features: NDArray[np.floating[Any]],
    threshold: float,
) -> dict[str, Any]:
    """Compare the newest `DRIFT_BARS` rows of `features` `(n, F)` (unscaled) with the training; JSON-able.

    :param distribution: of :func:`feature_distribution`; None for a model that was trained before it was kept.
    :param threshold: PSI above which a feature is named in `warnings`.
    :returns: `psi` and `usual_psi_95` per feature, `bars`, `threshold`, `warnings` (a sentence per feature above
        the threshold, the largest PSI first), `drifted` (their names) and `unusual` (those of them that are also above
        what is usual among the training's weeks). Where nothing can be compared `psi` is empty and `reason` says why.
    """
    report: dict[str, Any] = {
        "psi": {}, "usual_psi_95": {}, "bars": 0, "threshold": threshold,
        "warnings": [], "drifted": [], "unusual": [], "reason": None,
    }  # fmt: skip
    if distribution is None:
        return {**report, "reason": "the model was trained before distributions of features were kept; train it again"}
    recent = np.asarray(features)[-DRIFT_BARS:]
    recent = recent[np.isfinite(recent).all(axis=1)]
    if len(recent) < DRIFT_BARS:
        return {
            **report,
            "bars": len(recent),
            "reason": f"only {len(recent)} of the {DRIFT_BARS} newest bars are known",
        }
    try:
        psi = psi_by_feature(distribution, names, recent)
    except IntegrityError as error:
        return {**report, "bars": len(recent), "reason": str(error)}
    usual = {name: _described(distribution)[name]["usual_psi_95"] for name in psi}
    drifted = sorted((name for name in psi if psi[name] > threshold), key=lambda name: -psi[name])
    unusual = [name for name in drifted if usual[name] is not None and psi[name] > usual[name]]
    return {
        **report,
        "psi": psi,
        "usual_psi_95": usual,
        "bars": len(recent),
        "warnings": [_warning(name, psi[name], usual[name], threshold) for name in drifted],
        "drifted": drifted,
        "unusual": unusual,
    }


def _warning(name: str, psi: float, usual: float | None, threshold: float) -> str:
    if usual is None:
        verdict = "the training was too short to tell whether that is unusual"
    else:
        verdict = f"{'unusual' if psi > usual else 'usual'}: 95 % of the training's weeks are below {usual:.2f}"
    return f"{name}: PSI {psi:.2f} is above {threshold:g} ({verdict})"


def _without_calendar(names: Sequence[str], features: NDArray[np.floating[Any]]) -> tuple[list[str], FloatArray]:
    columns = [column for column, name in enumerate(names) if name not in CALENDAR_FEATURES]
    return [names[column] for column in columns], np.asarray(features, np.float64)[:, columns]


def _described(distribution: Mapping[str, Any]) -> Mapping[str, Any]:
    if distribution.get("version") != VERSION or not distribution.get("features"):
        raise IntegrityError(
            f"the training's distribution has version {distribution.get('version')!r}, this code reads {VERSION}; "
            "train the model again"
        )
    described: Mapping[str, Any] = distribution["features"]
    return described


def _edges(column: FloatArray) -> FloatArray:
    """Return the inner edges of the deciles; bin i holds the values in (edge i-1, edge i]."""
    edges, times = np.unique(np.quantile(column, np.arange(1, BINS) / BINS), return_counts=True)
    # A value that fills whole deciles (a feature at its bound, or constant) is parted from what lies below it.
    # Features are float32: the next smaller number must be one too.
    atoms = edges[(times > 1) | (edges == column.min())].astype(np.float32)
    below = np.nextafter(atoms, np.float32(-np.inf)).astype(np.float64)
    return np.unique(np.concatenate([edges, below]))


def _shares(counts: NDArray[np.integer[Any]]) -> FloatArray:
    """Return the shares of the last axis' counts, with half a row added to each bin."""
    smoothed = counts + _PRIOR
    return np.asarray(smoothed / smoothed.sum(axis=-1, keepdims=True), np.float64)


def _usual_psi(bins: NDArray[np.integer[Any]], size: int) -> float | None:
    """Return the 95 % quantile of the PSI of blocks of `DRIFT_BARS` rows, each against all the other rows."""
    if len(bins) < 2 * DRIFT_BARS:
        return None
    running = np.zeros((len(bins) + 1, size), np.int64)
    np.cumsum(np.eye(size, dtype=np.int64)[bins], axis=0, out=running[1:])
    starts = np.arange(0, len(bins) - DRIFT_BARS + 1, _BLOCK_STEP)
    inside = running[starts + DRIFT_BARS] - running[starts]
    block, rest = _shares(inside), _shares(running[-1] - inside)
    psi = ((block - rest) * np.log(block / rest)).sum(axis=1)
    return float(np.quantile(psi, USUAL_QUANTILE))
