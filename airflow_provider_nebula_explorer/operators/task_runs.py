# SPDX-License-Identifier: Apache-2.0
"""Tells apart the runs of workflows that one task makes: a ``@task`` may execute several run operators."""

from __future__ import annotations

import hashlib
from collections import Counter
from threading import Lock
from typing import Any

from airflow_provider_nebula_explorer.explorer.models import JsonObject
from airflow_provider_nebula_explorer.explorer.starting.attempts import RunSpec
from airflow_provider_nebula_explorer.triggers.resumption import attempt_number

OWN_RUN = ""
"""The name of the run of a task that is a run operator itself."""


class TaskRuns:
    """The runs that one attempt of a task has made so far.

    :param ti: the task instance.
    """

    def __init__(self, ti: Any) -> None:
        self.ti = ti
        self.attempt = attempt_number(ti)
        self.claims: dict[str, JsonObject] = {}
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def name(self, operator: object, spec: RunSpec) -> str:
        """Name one more run, so that each attempt of the task gives the same run the same name.

        :param operator: what executes it.
        :param spec: what it runs. Where several run the same, their order counts.
        """
        is_own = getattr(self.ti, "task", operator) is operator
        facts = f"{spec.explorer} {spec.workflow_id} {spec.digest}"
        what = hashlib.sha256(facts.encode()).hexdigest()[:32]
        with self._lock:
            if is_own and not self._counts[OWN_RUN]:
                self._counts[OWN_RUN] = 1
                return OWN_RUN
            self._counts[what] += 1
            return f"{what}-{self._counts[what]}"


def runs_of(context: Any) -> TaskRuns:
    """Return the runs of the attempt that this process executes."""
    global _current  # noqa: PLW0603 - a process executes one task at a time
    ti = context["ti"]
    with _current_lock:
        # dag.test() of Airflow 2 retries a task with the same task instance.
        if _current.ti is not ti or _current.attempt != attempt_number(ti):
            _current = TaskRuns(ti)
        return _current


_current = TaskRuns(None)
_current_lock = Lock()
