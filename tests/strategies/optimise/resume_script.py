"""Runs one optimisation in a process of its own, for `test_resume.py`.

usage: python -m tests.strategies.optimise.resume_script METHOD MEMORY_FILE RESULT_FILE PROCESSES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.strategies.optimise.prices import martingale
from tests.strategies.optimise.scenes import FileMemory, optimised, request

DAYS = 45
VARIATIONS = 30


def main() -> None:
    """Do what the arguments say."""
    method, memory, result, processes = sys.argv[1:]
    order = request(DAYS, method=method, variations=VARIATIONS)
    outcome = optimised(martingale(5, DAYS), order, FileMemory(Path(memory)), int(processes))
    Path(result).write_text(json.dumps(outcome.document(), allow_nan=False))


if __name__ == "__main__":
    main()
