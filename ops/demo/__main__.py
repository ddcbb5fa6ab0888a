"""The demo: a losing week, GPT-4's verdict, three retrained networks, and what came of it.

    python -m ops.demo      (after `python -m ops.embedded up`)

Each demo after the first advances the sandbox's market by 14 days first, so that the old and the new
champions are compared on bars that neither has seen. Ends with a code other than 0 if any step failed.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from include.settings import Settings
from ops.client import AirflowClient
from ops.demo import story
from ops.demo.chain import Chain, ChainRun
from ops.demo.follow import ChainBrokenError, Follower
from ops.demo.quiet import wait_until_quiet
from ops.environment import ADMIN_NAME, Environment, load_dotenv
from ops.files import read_json, write_json
from ops.run_dir import RunDir
from sandbox.control import Control

ADVANCE_DAYS = 14
RUN_TIMEOUT_S = 900.0


def main() -> int:
    """Run the demo; return the exit code."""
    load_dotenv()
    console = Console(width=None if sys.stdout.isatty() else 140)
    environment, _ = Environment.prepare(RunDir.from_environment(), running=True)
    if not environment.uses_sandbox or not environment.sandbox():
        console.print("The demo needs the sandbox: unset TRADING_OPS_SANDBOX and run `make up`.")
        return 1
    begun = time.monotonic()
    with AirflowClient(environment.base_url, ADMIN_NAME, environment.admin_password) as client:
        try:
            ok = Demo(environment, client, console).run()
        except ChainBrokenError as error:
            console.print(f"[red]The chain broke: {error}", highlight=False)
            return 1
    console.print(f"{'Done' if ok else '[red]Not everything went well'} in {time.monotonic() - begun:.0f} s.")
    return 0 if ok else 1


class Demo:
    """One walk through the chain."""

    def __init__(self, environment: Environment, client: AirflowClient, console: Console) -> None:
        self._environment = environment
        self._client = client
        self._console = console
        self._control = Control(environment.sandbox()["urls"])
        self._memory = environment.run_dir.path / "demo.json"
        self._follower = Follower(client, console)

    def run(self) -> bool:
        """Prepare, trigger, follow, tell; return whether every run of the chain succeeded."""
        self._prepare()
        chain = Chain(f"demo__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", Settings().symbols)
        self._client.trigger(chain.performance.dag_id, {}, run_id=chain.performance.run_id)
        states = self._follower.follow([chain.performance], RUN_TIMEOUT_S)
        performance = self._result(chain.performance, "result")
        analysis: dict[str, Any] = {}
        retrainings: list[dict[str, Any]] = []
        if performance.get("gpt4_analysis_triggered"):
            states |= self._follower.follow([chain.analysis], RUN_TIMEOUT_S)
            analysis = self._result(chain.analysis, "result")
        if analysis.get("analysis", {}).get("retrain_triggered"):
            states |= self._follower.follow(chain.retrainings, RUN_TIMEOUT_S)
            retrainings = [self._result(run, "report") for run in chain.retrainings]
        self._tell(chain, performance, analysis, retrainings)
        for run_id, state in states.items():
            if state != "success":
                self._console.print(f"[red]Run {run_id} ended {state}", highlight=False)
        complete = bool(performance and analysis and retrainings and all(retrainings))
        return complete and set(states.values()) == {"success"}

    def _prepare(self) -> None:
        wait_until_quiet(self._client, RUN_TIMEOUT_S, lambda text: self._console.print(text, highlight=False))
        demos = read_json(self._memory).get("demos", 0)
        if demos:
            self._control.advance(days=ADVANCE_DAYS)
            self._console.print(f"Demo {demos + 1}: the sandbox's market moved on by {ADVANCE_DAYS} days.")
            scoring = ChainRun("score_champions", f"demo__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", "score champions")
            self._client.trigger(scoring.dag_id, {}, run_id=scoring.run_id)
            self._follower.follow([scoring], RUN_TIMEOUT_S)
        self._control.scenario("losing")
        self._console.print("The sandbox's engine now reports a losing week.")
        write_json(self._memory, {"demos": demos + 1})

    def _result(self, run: ChainRun, task_id: str) -> dict[str, Any]:
        return self._client.xcom(run.dag_id, run.run_id, task_id) or {}

    def _tell(
        self, chain: Chain, performance: dict[str, Any], analysis: dict[str, Any], retrainings: list[dict[str, Any]]
    ) -> None:
        candles = [self._result(run, "refresh_candles") for run in chain.retrainings] if retrainings else []
        story.tell_data(self._console, str(self._control.data()["data"]), [report for report in candles if report])
        if performance:
            story.tell_performance(self._console, performance)
        if analysis:
            story.tell_verdict(self._console, analysis)
        story.tell_models(self._console, [report for report in retrainings if report])
        self._where_to_look(chain)

    def _where_to_look(self, chain: Chain) -> None:
        base = self._environment.base_url
        database = Settings().mongo_database
        self._console.rule("[bold]Where to look")
        for text in (
            f"Graph of the chain: {base}/dags/daily_performance_analysis/runs/{chain.run_id} (user {ADMIN_NAME}, "
            f"password in {self._environment.run_dir.secrets_file})",
            f"Documents: {self._environment.mongo_uri}, database {database}: performance_metrics, "
            "gpt4_analysis_history, retrain_history, training_jobs, models, champions, deployments, gpt4_costs, outbox",
            f"Messages that Slack's stand-in received: {len(self._control.messages('slack'))}",
        ):
            self._console.print(text, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
