"""`bulk_analysis` in a fresh process, as its task does it: from the params to the stored result.

A real mongod holds three champions of standard size per symbol and their candles; the stand-in for Binance tells the
time and the prices. Task time is counted from the call of the task's function to its return: with every import that
it makes, its questions to MongoDB and Binance, forecasts, drift, cache, champions' health and the stored document. Not
counted are Airflow's own start and the import of the DAG file, which happen before any task's code runs.

Exits with 1 when 100 symbols take more than 6 s, 1,000 more than 30 s, or 100 cached ones more than 1 s.

usage: python -m benchmarks.bench_bulk_analysis [--symbols 100,1000]   (about 3 minutes)
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pymongo
from bson.codec_options import CodecOptions

from include.store.collections import RESULT_CACHE, ensure_indexes
from sandbox.launcher import start_all
from sandbox.mongod import Mongod, start_mongod
from tests.ml.bulk.parts import deploy

REPOSITORY = Path(__file__).resolve().parent.parent
LIMITS_S = {100: 6.0, 1000: 30.0}
CACHED, CACHED_LIMIT_S = 100, 1.0
ROUNDS = 3
KEY = bytes(range(32))
DAY_MS = 86_400_000

TASK = """
import json, resource, sys, time
from dags.bulk_analysis import analyse_symbols
from include.tasks_api.params.base import parse_params
from include.tasks_api.params.bulk_analysis import BulkAnalysisParams
class Instance:
    dag_id, run_id, try_number = "bulk_analysis", sys.argv[1], 1
class Store(dict):
    set = dict.__setitem__
symbols = [f"S{number}USDT" for number in range(int(sys.argv[2]))]
begun, cpu_begun = time.perf_counter(), time.process_time()
params = parse_params(BulkAnalysisParams, {"symbols": symbols, "min_confidence": 0.5})
context = {"ti": Instance(), "run_id": sys.argv[1], "task_state_store": Store()}
answer = analyse_symbols(params, context)
seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
print(json.dumps({"seconds": seconds, "cpu_s": cpu_s,
                  "analyzed": answer["symbols_analyzed"], "cached": answer["symbols_cached"],
                  "models": len(answer["results"][0]["models"]), "prices": answer["exchange"]["prices"],
                  "progress": context["task_state_store"]["progress"]["percent"],
                  "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  "tensorflow": "tensorflow" in sys.modules}))
"""


def main() -> int:
    """Measure and print; return the exit code."""
    arguments = argparse.ArgumentParser(description="bulk_analysis in a fresh process")
    arguments.add_argument("--symbols", default="100,1000", help="how many, comma-separated")
    counts = [int(count) for count in arguments.parse_args().symbols.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mongod, sandbox = start_mongod(folder / "mongod"), start_all(folder / "sandbox", services=["binance"])
        try:
            symbols = [f"S{number}USDT" for number in range(max(*counts, CACHED))]
            sandbox.control.list_symbols(**dict.fromkeys(symbols, "BTCUSDT"))
            with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
                db = client.get_database("trading_ops", codec_options=CodecOptions(tz_aware=True))
                ensure_indexes(db)
                now_ms = sandbox.control.data()["now_ms"]
                deploy(db, KEY, symbols, now_ms - DAY_MS, size="standard")
                first = ask(mongod, sandbox.urls["binance"], folder, len(symbols), ttl_s=0)
                cold = {
                    count: [ask(mongod, sandbox.urls["binance"], folder, count, ttl_s=0) for _ in range(ROUNDS)]
                    for count in counts
                }
                db[RESULT_CACHE].delete_many({})
                ask(mongod, sandbox.urls["binance"], folder, CACHED, ttl_s=300)
                again = [ask(mongod, sandbox.urls["binance"], folder, CACHED, ttl_s=300) for _ in range(ROUNDS)]
        finally:
            sandbox.stop()
            mongod.stop()
    check(cold, again)
    cold_s = {count: statistics.median(run["seconds"] for run in runs) for count, runs in cold.items()}
    cached_s = statistics.median(run["seconds"] for run in again)
    print(f"task time of bulk_analysis, three champions per symbol, fresh processes, median of {ROUNDS}")
    for count, seconds in cold_s.items():
        print(f"  {count:5d} symbols          {seconds:6.2f} s   {limit(count)}  {own(cold[count])}")
    print(f"  {CACHED:5d} cached           {cached_s:6.2f} s   (limit {CACHED_LIMIT_S:.0f} s)   {own(again)}")
    print(f"  {len(symbols):5d} without candles  {first['seconds']:6.2f} s   (one round; Binance's stand-in included)")
    broken = [count for count, seconds in cold_s.items() if seconds > LIMITS_S.get(count, seconds)]
    return 1 if broken or cached_s > CACHED_LIMIT_S else 0


def own(runs: list[dict[str, Any]]) -> str:
    """Return what the process itself used: on a busy machine the task time is that of the others, too."""
    return f"{statistics.median(run['cpu_s'] for run in runs):.2f} s of CPU, {runs[0]['mb']:.0f} MB"


def limit(count: int) -> str:
    """Return the limit as it is printed."""
    return f"(limit {LIMITS_S[count]:.0f} s)" if count in LIMITS_S else "(no limit)"


def check(cold: dict[int, list[dict[str, Any]]], again: list[dict[str, Any]]) -> None:
    """Make sure that what was measured is what was to be measured."""
    for count, runs in {**cold, CACHED: [*cold.get(CACHED, []), *again]}.items():
        for run in runs:
            whole = run["analyzed"] == count and run["models"] == 3 and run["progress"] == 100
            if not whole or run["tensorflow"] or run["prices"] != ("not asked" if run["cached"] else "ticker"):
                raise AssertionError(f"not what was to be measured: {run}")
    if any(run["cached"] for runs in cold.values() for run in runs) or any(run["cached"] != CACHED for run in again):
        raise AssertionError(f"the cache answered where it should not, or did not: {cold}, {again}")


def ask(mongod: Mongod, exchange: str, folder: Path, count: int, *, ttl_s: int) -> dict[str, Any]:
    """Run the task's function in a process of its own; return what it measured."""
    variables = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}),
        "TRADING_OPS_BINANCE_BASE_URL": exchange,
        "TRADING_OPS_STATE_DIR": str(folder),
        "TRADING_OPS_MODEL_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
        "TRADING_OPS_ANALYSIS_CACHE_TTL_S": str(ttl_s),
    }
    variables.pop("TRADING_OPS_REDIS_URL", None)
    answer = subprocess.run(
        [sys.executable, "-c", TASK, f"bench-{count}", str(count)],
        env=variables, cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    measured: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return measured


if __name__ == "__main__":
    sys.exit(main())
