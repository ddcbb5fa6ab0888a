"""All benchmarks one after the other: `python -m benchmarks [NAME ...]`. Exits with 1 when one breaks its limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAMES = (
    "parse", "candles", "audit", "inference", "prediction", "bulk_analysis", "backtest", "optimisation", "edge",
    "training", "honesty",
)  # fmt: skip


def main() -> int:
    """Run them in processes of their own, so that none warms up another."""
    asked = sys.argv[1:] or list(NAMES)
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    broken = []
    for name in asked:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], cwd=REPOSITORY, check=False).returncode:
            broken.append(name)
    print(f"== limits broken by: {', '.join(broken)}" if broken else "== all limits kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
