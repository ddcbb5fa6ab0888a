"""What Celery tells others of a message's arguments: which task instance it is for, and nothing more.

The message itself holds a token with which the task may speak to the API server. Celery copies the first kilobyte of
its arguments into a header and into the events that Flower shows to everybody who may log in there.
"""

from __future__ import annotations

import json
from typing import Any

from celery.signals import before_task_publish

TOLD = ("id", "dag_id", "run_id", "task_id", "map_index", "try_number")


def summary(body: Any) -> str:
    """Return the task instance that a message is for, as JSON; an empty one for a message of another kind.

    :param body: of Celery's protocol 2: arguments, named arguments, and what embeds them.
    """
    try:
        instance = json.loads(body[0][0])["ti"]
        told = {name: instance[name] for name in TOLD if name in instance}
    except (ValueError, LookupError, TypeError):
        told = {}
    return json.dumps({"ti": told}, separators=(",", ":"))


@before_task_publish.connect(weak=False)
def _summarise(body: Any = None, headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers["argsrepr"] = summary(body)
