# SPDX-License-Identifier: Apache-2.0
"""Runs deferrable tasks without a triggerer: through all that is stored between a worker and a triggerer."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from types import SimpleNamespace

from airflow.providers.common.compat.sdk import TaskDeferred


def stored(trigger):
    """Return a trigger as a triggerer makes it anew."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


WHOSE = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1}


def of_task(trigger):
    """Return a trigger as a triggerer makes it anew for a task."""
    trigger = stored(trigger)
    trigger.task_instance = SimpleNamespace(**WHOSE)
    return trigger


def first_event(trigger):
    """Run a trigger as a triggerer does, from what was stored of it, and return its event's payload."""

    async def run():
        return await anext(stored(trigger).run())

    return json.loads(json.dumps(asyncio.run(run()).payload))


def run_to_its_end(make_task, context):
    """Execute a task, and resume it as often as it defers; each time as a new object, as Airflow does."""
    try:
        return make_task().execute(context)
    except TaskDeferred as deferred:
        pause = deferred
    while True:
        try:
            event = first_event(pause.trigger)
            arguments = {**(pause.kwargs or {}), "event": event}
            return make_task().resume_execution(pause.method_name, arguments, context)
        except TaskDeferred as deferred:
            pause = deferred
