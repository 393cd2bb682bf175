# SPDX-License-Identifier: Apache-2.0
"""Made-up histories of one task: starts that fail in every way, crashes, retries, kills, others' jobs."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from in_memory import CONNECTION, InMemoryExplorer
from stand_ins import NoteInFolder, Store, TaskInstance, forget_secrets

from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerAmbiguousSubmitError
from airflow_provider_nebula_explorer.explorer.models import parse_job
from airflow_provider_nebula_explorer.explorer.waiting.events import job_event
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

OWN_LOGIN = {**CONNECTION, "extra": {**CONNECTION["extra"], "share_login": False}}
"""Each folder is new here, and a first shared login costs the derivation of a key."""
RETRIES = 14
RUNNING = (0, 1)


class CrashError(BaseException):
    """The process is gone: SIGKILL."""


@dataclass(frozen=True)
class History:
    """What happens to one task.

    :param fates: what becomes of each start of a job, see :class:`InMemoryExplorer`.
    :param ends: how each job ends.
    :param crashes: at which of its steps each attempt dies; a step is what comes before or after a request, a
        note or a pause.
    :param kill: at which step of all a user kills the task; the process continues for a while (Airflow 3).
    :param others: at which steps of all somebody else starts a job of the workflow.
    :param clears: after which attempts a user clears the task.
    :param late_by: seconds after which a job appears whose start has the fate ``late``.
    :param has_store: whether Airflow has a task state store; else the note is a file.
    """

    fates: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    crashes: tuple[int, ...] = ()
    kill: int | None = None
    others: frozenset[int] = frozenset()
    clears: frozenset[int] = frozenset()
    late_by: int = 4
    deferrable: bool = False
    has_store: bool = True


histories = st.builds(
    History,
    fates=st.lists(st.sampled_from(InMemoryExplorer.FATES), max_size=4).map(tuple),
    ends=st.lists(st.sampled_from(("SUCCESS", "FAILED", "INTERRUPTED")), max_size=3).map(tuple),
    crashes=st.lists(st.integers(1, 40), max_size=3).map(tuple),
    kill=st.none() | st.integers(1, 60),
    others=st.frozensets(st.integers(0, 30), max_size=2),
    clears=st.frozensets(st.integers(1, 4), max_size=2),
    late_by=st.integers(1, 25),
    deferrable=st.booleans(),
    has_store=st.booleans(),
)


class StoreOfWorld(Store):
    """Each reading is a step, and each writing two: one before it, one after it."""

    def __init__(self, world):
        super().__init__()
        self.step = world.step
        self.before_set = lambda number: world.step()

    def get(self, key, default=None):
        self.step()
        return super().get(key, default)

    def set(self, key, value):
        super().set(key, value)
        self.step()


class World:
    """Airflow with one task, and Explorer.

    :param folder: the ``state_dir`` of its workers.
    """

    def __init__(self, history, folder):
        self.history = history
        self.folder = folder
        self.explorer = InMemoryExplorer()
        self.explorer.fates = list(history.fates)
        self.explorer.before_response = self.explorer.after_response = self.step_of_request
        self.explorer.plans = [JobPlan(running=60, stopping=3, ends=ends) for ends in history.ends]
        self.explorer.plans += [JobPlan(running=60, stopping=3)]
        self.store = StoreOfWorld(self) if history.has_store else self.note_in_folder()
        self.logged = []
        self.failed = None
        self.task = None
        self.steps = 0
        self.dies_at = None
        self.jobs_at_kill = None
        self.clears = 0
        self.explorer.late_by = history.late_by

    def note_in_folder(self):
        """Return the note as a file: each writing is two steps, as in :class:`StoreOfWorld`."""
        note = NoteInFolder(self.folder)
        note.before_set = note.after_set = lambda number: self.step()
        return note

    def ours_in(self, statuses):
        return [job for job in self.explorer.ours if job.status(self.explorer.now) in statuses]

    @property
    def is_killed(self):
        return self.jobs_at_kill is not None

    def step_of_request(self, endpoint):
        # A start is made in a thread of its own, where no signal arrives.
        self.step(may_be_signalled=endpoint != "run_workflow")

    def step(self, *, may_be_signalled=True):
        assert self.dies_at is None or self.steps <= self.dies_at, "what is dead does nothing"
        self.steps += 1
        if self.steps in self.history.others:
            self.explorer.start_foreign()
        if self.steps == self.dies_at:
            raise CrashError
        if may_be_signalled and self.steps >= (self.history.kill or 999) and not self.is_killed:
            self.kill()

    def kill(self):
        self.jobs_at_kill = len(self.explorer.ours)
        self.dies_at = None
        self.task.on_kill()
        self.dies_at = self.steps + 25

    def clock(self):
        return self.explorer.now

    def sleep(self, seconds):
        self.step()
        self.explorer.sleep(seconds)

    def run(self):
        """Let Airflow try the task until it is over; return what it returned, ``None`` if it failed."""
        crashes = dict(enumerate(self.history.crashes, start=1))
        max_tries = RETRIES
        for number in range(1, RETRIES + 1):
            self.dies_at = self.steps + crashes[number] if number in crashes else None
            result = self.try_once(TaskInstance(number, max_tries))
            self.dies_at = None
            if number in self.history.clears and not self.is_killed:
                self.clears += 1
                max_tries += number
            elif result is not None or self.is_over:
                return result
            self.explorer.sleep(30)
        return None

    @property
    def is_over(self):
        return self.is_killed or isinstance(self.failed, AirflowFailException)

    def try_once(self, ti):
        self.failed = None
        try:
            return self.attempt(ti)
        except (CrashError, Exception) as error:
            self.failed = error
            return None

    def attempt(self, ti):
        context = {"ti": ti, "task_instance": ti, **self.store.context}
        step = lambda: self.new_task().execute(context)  # noqa: E731
        while True:
            try:
                return step()
            except TaskDeferred:
                event = self.event_of(ti.xcoms["nebula_explorer_claim"]["job_id"])
                step = lambda event=event: self.new_task().execute_complete(context, event)  # noqa: E731

    def event_of(self, job_id):
        self.explorer.sleep(100)
        return job_event(parse_job(self.explorer.state.job(job_id).details(self.explorer.now)))

    def new_task(self):
        self.task = NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, poll_interval=20, deferrable=self.history.deferrable
        )
        return self.task


class KeepsLines(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self, lines):
        super().__init__()
        self.lines = lines

    def emit(self, record):
        self.lines.append(record.getMessage())


@contextmanager
def airflow_around(world):
    environment = {
        "AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT": json.dumps(OWN_LOGIN),
        "AIRFLOW__NEBULA_EXPLORER__STATE_DIR": str(world.folder),
    }
    handler, logger = KeepsLines(world.logged), logging.getLogger("airflow_provider_nebula_explorer")
    logger.addHandler(handler)
    forget_secrets()
    try:
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(time, "sleep", world.sleep),
            mock.patch.object(time, "time", world.clock),
            world.explorer.reachable(),
            world.store.watching(),
        ):
            yield
    finally:
        logger.removeHandler(handler)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(histories)
def test_whatever_happens_to_a_task_it_has_one_job_and_leaves_none_behind(history):
    with tempfile.TemporaryDirectory() as folder, airflow_around(world := World(history, folder)):
        result = world.run()
    if result is not None:
        check_success(world, result)
    elif world.is_killed:
        check_kill(world)
    else:
        check_failure(world)


def check_success(world, result):
    ended_well = [job.id for job in world.ours_in({2})]
    assert world.explorer.state.job(result).status(world.explorer.now) == 2
    assert world.ours_in(RUNNING) == []
    if result in [job.id for job in world.explorer.ours]:
        event("its own job")
        assert len(ended_well) <= 1 + world.clears
    else:
        event("somebody else's job, the only one that fitted")
        assert len(ended_well) <= world.clears
        assert any("adopting it." in line for line in world.logged)


def check_kill(world):
    event("killed")
    may_run = any("may be running" in line or "Its job may keep running" in line for line in world.logged)
    if may_run:
        event("killed while it was not known which job is its own")
        assert set(world.history.fates) - {"accepted", "refused", "unreachable"} or world.history.crashes
    else:
        assert world.ours_in(RUNNING) == []
        assert len(world.explorer.ours) == world.jobs_at_kill


def check_failure(world):
    event("left to a person")
    assert isinstance(world.failed, NebulaExplorerAmbiguousSubmitError)
    candidates = {job.id for job in world.failed.candidates}
    # Without any, the next attempt may know more; it need not find the note, unless Airflow has that.
    assert len(candidates) > 1 or (not candidates and not world.history.has_store)
    assert {job.id for job in world.ours_in(RUNNING)} <= candidates
