"""The model table: what the three networks are worth on 2024, which none of them has seen, for eight symbols.

Trains each network on the year before (hours, as `train_model` would with `days_of_data=365`), forecasts every hour
of 2024, and writes accuracy, baseline, skill, edge, coverage and sharpness into `docs/model-quality.md` between its
two marks, with a picture of BTCUSDT's coverage per month. Results are kept in `.run/model_table`, named after data,
parameters and code, so that an interrupted run continues. About 13 minutes on two quiet cores.

Exits with 1 when the band of a network covers less than 72 or more than 88 % of BTCUSDT's returns at 1, 8 or 24
hours, or costs more than 1.05 times the plain empirical band.

usage: python -m benchmarks.model_table [--symbols ...] [--types ...] [--epochs 10] [--processes 2] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.band_quality import BandQuality, empirical_band, judge_band
from benchmarks.model_table_page import broken_limits, write_page
from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.ml.atomic_write import write_atomically
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import build_dataset
from include.ml.evaluation import Evaluation
from include.ml.predictor import predict, score
from include.ml.spec import history_bars
from include.ml.training import train
from include.ml.versions import training_versions

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".run" / "model_table"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "LTCUSDT", "LINKUSDT")
"""BTCUSDT first: its months are shown."""
FIRST, LAST = "2024-01-01", "2025-01-01"
DAYS = 365
VALIDATION_SPLIT = 0.02
"""2024 is the hold-out, so of the days before it only a token is set aside."""


@dataclass(frozen=True)
class Case:
    """One network to train and to judge."""

    symbol: str
    model_type: str
    epochs: int


@dataclass(frozen=True)
class Judgement:
    """What one network was worth on the bars from `FIRST` to `LAST`."""

    symbol: str
    model_type: str
    best_epoch: int
    evaluation: Evaluation
    band: BandQuality
    candles_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Judgement:
        """Return the judgement of :meth:`to_dict`'s values."""
        nested = {"evaluation": Evaluation(**values["evaluation"]), "band": BandQuality(**values["band"])}
        return cls(**{**values, **nested})


def data_folder() -> Path:
    """Return where the files `{SYMBOL}_1h.csv.gz` are."""
    return Path(os.environ.get("MARKET_DATA_DIR", REPOSITORY.parent / "shared" / "data" / "klines"))


def read_candles(folder: Path, symbol: str) -> Candles:
    """Return all hourly candles of the symbol's file."""
    with gzip.open(folder / f"{symbol}_1h.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",", skiprows=1)
    return Candles(symbol, "1h", rows[:, 0].astype(np.int64), *(rows[:, column].copy() for column in range(1, 6)))


def at_ms(day: str) -> int:
    """Return the milliseconds at which that day begins in UTC."""
    return int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000)


def case_candles(candles: Candles, days: int = DAYS) -> Candles:
    """Return what a case reads: the days before `FIRST`, their warm-up, and the bars up to `LAST`."""
    warm_up_ms = 2 * history_bars() * candles.bar_ms  # twice: gaps cost candles
    return candles.between(at_ms(FIRST) - days * DAY_MS - warm_up_ms, at_ms(LAST))


def judge_model(candles: Candles, config: TrainingConfig, days: int = DAYS) -> Judgement:
    """Train on the `days` days before `FIRST` and judge the bars from there to `LAST`."""
    split_ms, end_ms = at_ms(FIRST), at_ms(LAST)
    start_ms = split_ms - days * DAY_MS
    past = candles.between(None, split_ms)
    dataset = build_dataset(past, config, bars=len(past.between(start_ms, None)))
    trained = train(dataset, config)
    forecast = predict(trained.model, dataset.spec, candles, split_ms, end_ms)
    return Judgement(
        symbol=candles.symbol,
        model_type=config.model_type,
        best_epoch=trained.best_epoch,
        evaluation=score(trained.model, dataset.spec, candles, split_ms, end_ms),
        band=judge_band(forecast, candles, empirical_band(candles, start_ms, split_ms)),
        candles_sha256=candles.sha256(),
    )


def run_case(case: Case, kept: Path) -> Judgement:
    """Judge the case and keep the result in the file `kept`; in a process of its own."""
    config = TrainingConfig(
        cast(ModelType, case.model_type), epochs=case.epochs, validation_split=VALIDATION_SPLIT, threads=1
    )
    judgement = judge_model(case_candles(read_candles(data_folder(), case.symbol)), config)
    write_atomically(kept, json.dumps(judgement.to_dict()).encode())
    return judgement


def code_sha256() -> str:
    """Return the hash of the sources of all modules of the bundle that training and judging have loaded."""
    import include.ml.networks  # noqa: F401 - these two are loaded late by a training
    import include.ml.stepper  # noqa: F401

    digest = hashlib.sha256()
    sources = {
        name: Path(str(module.__file__))
        for name, module in sys.modules.items()
        if name.startswith(("include.", "benchmarks.band_")) and getattr(module, "__file__", None)
    }
    for name in sorted(sources):
        digest.update(f"{name}\0".encode() + sources[name].read_bytes())
    return digest.hexdigest()


def kept_file(case: Case, candles: Candles, code: str, versions: dict[str, str]) -> Path:
    """Return where the result of that case, on that data, by that code is kept."""
    libraries = {name: version for name, version in versions.items() if name != "code_sha256"}
    key = json.dumps([asdict(case), DAYS, VALIDATION_SPLIT, candles.sha256(), code, libraries], sort_keys=True)
    name = f"{case.symbol}_{case.model_type}_{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    return CACHE / name


def judge_all(cases: list[Case], files: dict[Case, Path], processes: int) -> dict[Case, Judgement]:
    """Judge what is not kept yet, in processes of one thread each, and return all; prints progress."""
    done = {case: Judgement.from_dict(json.loads(files[case].read_text())) for case in cases if files[case].exists()}
    missing = [case for case in cases if case not in done]
    print(f"{len(cases)} trainings, {len(done)} of them kept from before", flush=True)
    started = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(run_case, case, files[case]): case for case in missing}
        for number, future in enumerate(as_completed(running), start=1):
            case = running[future]
            done[case] = future.result()
            skill, coverage = done[case].evaluation.skill, done[case].band.coverage_pct
            print(
                f"{time.monotonic() - started:6.0f} s  {number}/{len(missing)}  {case.symbol} {case.model_type}: skill "
                f"{skill:+.4f}, coverage {coverage['1']:.0f} {coverage['8']:.0f} {coverage['24']:.0f} %",
                flush=True,
            )
    return done


def main() -> int:
    """Judge all cases, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", default=",".join(SYMBOLS))
    parser.add_argument("--types", default=",".join(MODEL_TYPES))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs")
    options = parser.parse_args()
    cases = [
        Case(symbol, model_type, options.epochs)
        for symbol in options.symbols.split(",")
        for model_type in options.types.split(",")
    ]
    candles = {case.symbol: case_candles(read_candles(data_folder(), case.symbol)) for case in cases}
    code, versions = code_sha256(), training_versions()
    files = {case: kept_file(case, candles[case.symbol], code, versions) for case in cases}
    done = judge_all(cases, files, options.processes)
    judgements = [done[case] for case in cases]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "code_sha256")
    made = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": libraries,
        "code": code,
        "parameters": f"days_of_data={DAYS}, epochs={options.epochs}, validation_split={VALIDATION_SPLIT}",
        "epochs": str(options.epochs),
    }
    write_page(options.out, judgements, made)
    broken = broken_limits(judgements)
    print("\n".join(broken) if broken else "All limits kept.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
