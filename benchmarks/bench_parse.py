"""Parsing the whole bundle in a fresh process, as the DAG processor does, against importing `airflow.sdk` alone.

Run: `python -m benchmarks.bench_parse`. Exits with 1 when parsing takes 3 s or more, or loads what only tasks need.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT_S = 3.0
ROUNDS = 5
HEAVY = ("tensorflow", "keras", "pandas", "pymongo", "scipy", "openai")

PARSE = f"""
import json, sys, time
begun = time.perf_counter()
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
assert not bag.import_errors, bag.import_errors
print(json.dumps({{"seconds": time.perf_counter() - begun, "dags": len(bag.dags),
                  "heavy": [name for name in {HEAVY!r} if name in sys.modules]}}))
"""

BARE = """
import json, time
begun = time.perf_counter()
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
print(json.dumps({"seconds": time.perf_counter() - begun}))
"""


def measure(code: str, home: str) -> dict[str, object]:
    """Run the code in a process of its own and return what it printed."""
    settings = {
        "AIRFLOW_HOME": home,
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "TRADING_OPS_ROOT": str(REPOSITORY),
        "PYTHONPATH": str(REPOSITORY),
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, object] = json.loads(answer.stdout.splitlines()[-1])
    return document


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory() as home:
        whole, bare, last = [], [], {}
        for _ in range(ROUNDS):
            last = measure(PARSE, home)
            whole.append(float(str(last["seconds"])))
            bare.append(float(str(measure(BARE, home)["seconds"])))
    whole_s, bare_s = statistics.median(whole), statistics.median(bare)
    print(f"{last['dags']} DAGs, median of {ROUNDS} fresh processes")
    print(f"  import Airflow and parse all   {whole_s:6.2f} s   (limit {LIMIT_S:.0f} s)")
    print(f"  import Airflow only            {bare_s:6.2f} s   (parsing adds {whole_s - bare_s:.2f} s)")
    print(f"  loaded of {', '.join(HEAVY)}: {last['heavy'] or 'none'}")
    return 1 if whole_s >= LIMIT_S or last["heavy"] else 0


if __name__ == "__main__":
    sys.exit(main())
