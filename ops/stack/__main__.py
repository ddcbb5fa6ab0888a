"""The distributed mode as processes of this machine, for trials and tests: what docker-compose.yaml says, natively.

python -m ops.stack up | down | status        down keeps the data
python -m ops.stack remove                    down, and nothing is kept
python -m ops.stack stop | start | kill NAME  one process, as `docker compose stop`, `start`, `kill` do
"""

from __future__ import annotations

import shutil
import sys

from ops import lifecycle
from ops.environment import ADMIN_NAME
from ops.files import read_json
from ops.run_dir import RunDir
from ops.stack import addresses
from ops.stack.components import bring_up, left_behind
from ops.stack.twin import Twin, run_dir_from_environment
from ops.supervisor import RestartPolicy, hold, release


def _welcome(twin: Twin, new_secrets: list[str]) -> None:
    print(f"\n  Airflow     {twin.base_url}   user {ADMIN_NAME}")
    print(f"  passwords   {twin.run_dir.secrets_file}" + ("   (made just now)" if new_secrets else ""))
    for name, address in (
        ("Flower", addresses.FLOWER),
        ("RabbitMQ", addresses.RABBITMQ_MANAGEMENT),
        ("Prometheus", addresses.PROMETHEUS),
    ):
        print(f"  {name:11} http://{addresses.HOST}:{twin.ports[address]}")
    print(f"  processes   {', '.join(twin.components())}")
    print(f"  logs        {twin.run_dir.logs}\n  to end it: make stack-down\n")


def _left_behind(run_dir: RunDir) -> list[str]:
    return lifecycle.unclean_mongod(run_dir) + left_behind(run_dir)


MODE = lifecycle.Mode(
    module="ops.stack",
    ended_by="make stack-down",
    describe=Twin.describe,
    bring_up=bring_up,
    welcome=_welcome,
    left_behind=_left_behind,
    # As a container engine's `restart: always`.
    policy=RestartPolicy(attempts=None, window_s=60.0, delay_s=0.5, longest_delay_s=15.0),
)


def remove(run_dir: RunDir) -> int:
    """End the stack and delete everything that it wrote."""
    if not run_dir.path.exists():
        print(f"Nothing to end: there is no stack in {run_dir.path}.")
        return 0
    if addresses.API not in read_json(run_dir.environment_file).get("ports", {}):
        print(f"{run_dir.path} is not the folder of a stack: nothing is deleted.", file=sys.stderr)
        return 1
    with lifecycle.only_one(run_dir):
        code = lifecycle.down(MODE, run_dir)
        if code == 0:
            shutil.rmtree(run_dir.path)
            print(f"{run_dir.path} is deleted.")
    return code


def _one_process(action: str, name: str) -> int:
    twin, _ = Twin.describe(run_dir_from_environment(), running=True)
    known = {*twin.components(), "sandbox"}
    if name not in known:
        print(f"No process {name!r} in {twin.run_dir.path}: {', '.join(sorted(known))}", file=sys.stderr)
        return 1
    if action == "start":
        release(twin.run_dir.path, name)
    else:
        hold(twin.run_dir.path, name, kill=action == "kill")
    return 0


def main() -> int:
    """Run the command line."""
    match sys.argv[1:]:
        case ["stop" | "start" | "kill" as action, name]:
            return _one_process(action, name)
        case ["remove"]:
            return remove(run_dir_from_environment())
        case _:
            return lifecycle.main(MODE, run_dir_from_environment, "The distributed mode as processes of this machine")


if __name__ == "__main__":
    sys.exit(main())
