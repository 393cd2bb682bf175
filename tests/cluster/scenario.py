# SPDX-License-Identifier: Apache-2.0
"""What happens to a cluster at work, and how long it takes to recover."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
from cluster import Cluster
from parts import Part

RUN_WORKFLOW, WAIT_WORKFLOW = 3992429968, 3992429969
RUN_SECONDS = 25.0
"""How long the job of a run takes: so long that each process has some under way when it is killed."""

LASTING = 100_000.0
"""How long the jobs of the waits take, on Explorer's clock: none ends before that clock is set forward."""

OUTAGE_SECONDS = 5.0
"""How long Explorer is away; tasks then retry their requests for minutes."""

TaskKey = tuple[Any, ...]
"""What identifies a task: DAG, run, task id and map index. Its id in the database is new for each attempt."""

_ATTEMPTS = "SELECT dag_id, run_id, task_id, map_index, try_number FROM task_instance"


def _by_task(attempts: list[tuple[Any, ...]]) -> dict[TaskKey, int]:
    return {tuple(key): number for *key, number in attempts}


class Scenario:
    """Runs and waits, while a worker, a triggerer, the scheduler and Explorer are killed one after the other.

    Each is restarted at once, as a service manager does. The next one is killed when the cluster has taken
    over the work of the one before.

    :param waits: how many tasks wait for jobs that exist already.
    :param runs: how many runs start a job, half of them in a worker, half deferred.
    """

    def __init__(self, cluster: Cluster, *, waits: int, runs: int) -> None:
        self.cluster = cluster
        self.waits, self.runs = waits, runs
        self.awaited: list[int] = []
        self.taken_over: dict[str, str] = {}
        self.calls = Counter[str]()
        self.attempts, self.most_attempts = 0, 0
        self.seconds = 0.0
        self.ends_of_sessions = 0
        self._new_runs = self._runs()

    def play(self) -> None:
        """Make it happen, and return when everything is over."""
        begun = time.monotonic()
        self._begin()
        for act in (self._kill_worker, self._kill_triggerer, self._kill_scheduler, self._kill_explorer):
            self._start_runs(self.runs // 5)
            act()
        self._start_runs(self.runs)
        self._end()
        self.seconds = time.monotonic() - begun
        self.calls = self.cluster.explorer.calls()
        statement = "SELECT sum(try_number), max(try_number) FROM task_instance"
        ((self.attempts, self.most_attempts),) = self.cluster.query(statement)

    def figures(self) -> dict[str, Any]:
        """Return the measurements, by name."""
        return {
            "waiting tasks, runs": f"{self.waits}, {self.runs}",
            "seconds in all": round(self.seconds),
            **self.taken_over,
            "attempts of tasks, most of one": f"{self.attempts}, {self.most_attempts}",
            **{f"requests: {kind}": number for kind, number in sorted(self.calls.items())},
        }

    def _begin(self) -> None:
        cluster = self.cluster
        cluster.explorer.plan(RUN_WORKFLOW, RUN_SECONDS)
        self.awaited = [cluster.explorer.start_job(WAIT_WORKFLOW, LASTING) for _ in range(self.waits)]
        cluster.run("wait", "waits", jobs=self.awaited)
        self._start_runs(self.runs // 5)
        self._wait_until_deferred(self.waits // 3)

    def _end(self) -> None:
        self._wait_until_deferred(self.waits)
        self.cluster.explorer.advance(LASTING)
        self.cluster.wait_until("all is over", self._all_is_over, 1800)

    def _runs(self) -> Iterator[tuple[str, str]]:
        dag_ids = ("run_in_worker", "run_deferred")
        return ((dag_ids[number % 2], f"run-{number}") for number in range(self.runs))

    def _start_runs(self, number: int) -> None:
        for dag_id, run_id in itertools.islice(self._new_runs, number):
            self.cluster.run(dag_id, run_id, workflow_id=RUN_WORKFLOW)

    def _wait_until_deferred(self, number: int) -> None:
        def are_deferred() -> bool:
            return self.cluster.states("wait", "wait")["deferred"] >= number

        self.cluster.wait_until(f"{number} tasks are deferred", are_deferred, 900)

    def _kill_worker(self) -> None:
        worker = self._worker_that_waits()
        processes = worker.family()
        worker.kill()
        victims = self._attempts_in(processes)
        worker.start()
        assert victims, "the worker had ended what it ran"
        seconds = self.cluster.wait_until("its tasks are tried again", lambda: self._are_tried_again(victims))
        self.taken_over["worker killed"] = f"{len(victims)} tasks, tried again after {seconds:.0f} s"

    def _worker_that_waits(self) -> Part:
        """Return a worker that waits for a job; if there are few runs, all may be in the same worker."""
        found: list[Part] = []

        def find() -> bool:
            found.extend(filter(self._waits_for_job, self.cluster.workers))
            return bool(found)

        self.cluster.wait_until("a worker waits for a job", find)
        return found[0]

    def _waits_for_job(self, worker: Part) -> bool:
        return any(dag_id == "run_in_worker" for dag_id, *_ in self._attempts_in(worker.family()))

    def _are_tried_again(self, victims: dict[TaskKey, int]) -> bool:
        """Whether later attempts of these tasks run, wait or have succeeded."""
        statement = f"{_ATTEMPTS} WHERE state IN ('running', 'deferred', 'success')"
        now = _by_task(self.cluster.query(statement))
        return all(now.get(task, 0) > number for task, number in victims.items())

    def _attempts_in(self, processes: list[psutil.Process]) -> dict[TaskKey, int]:
        """Return the attempts that run in these processes, as far as Airflow knows: their number by task."""
        statement = f"{_ATTEMPTS} WHERE state = 'running' AND pid = ANY(%s)"
        return _by_task(self.cluster.query(statement, [process.pid for process in processes]))

    def _kill_triggerer(self) -> None:
        cluster = self.cluster
        self._wait_until_deferred(self.waits)
        cluster.wait_until("all waits have a triggerer", lambda: not cluster.triggers_of_triggerers()[None])
        ((name, waits),) = cluster.triggers_of_triggerers().most_common(1)
        assert name is not None
        triggerer = cluster.part(name)
        triggerer.kill()
        (killed,) = cluster.query("SELECT now()")[0]
        triggerer.start()
        seconds = cluster.wait_until("its triggers are taken over", lambda: not cluster.has_orphans(killed))
        self.taken_over["triggerer killed"] = f"{waits} waits, taken over after {seconds:.0f} s"

    def _kill_scheduler(self) -> None:
        scheduler = self.cluster.part("scheduler")
        scheduler.kill()
        scheduler.start()
        (killed,) = self.cluster.query("SELECT now()")[0]
        self._start_runs(2)
        statement = "SELECT count(*) FROM task_instance WHERE queued_dttm > %s"
        seconds = self.cluster.wait_until(
            "tasks are queued again", lambda: self.cluster.query(statement, killed)[0][0]
        )
        self.taken_over["scheduler killed"] = f"tasks are queued again after {seconds:.0f} s"

    def _kill_explorer(self) -> None:
        explorer = self.cluster.explorer
        explorer.kill()
        self.ends_of_sessions += 1
        time.sleep(OUTAGE_SECONDS)
        explorer.start()
        before = explorer.calls()
        seconds = self.cluster.wait_until(
            "it receives requests again", lambda: explorer.calls()["lists"] > before["lists"]
        )
        self.taken_over["Explorer killed"] = (
            f"away for {OUTAGE_SECONDS:.0f} s, first requests {seconds:.0f} s later"
        )

    def _all_is_over(self) -> bool:
        states = self.cluster.query("SELECT state, count(*) FROM dag_run GROUP BY 1")
        return dict(states).keys() <= {"success", "failed"}
