# SPDX-License-Identifier: Apache-2.0
"""Hundreds of starts whose responses are lost: each makes one job, or an error that names what may be it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hurry import Hurry, open_client
from scenes import Stage, side_by_side
from storms import around_starts

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.protocol import Call
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject
from airflow_provider_nebula_explorer.explorer.starting.attempts import Attempt, RunSpec, WorkflowRun
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter

SEARCH_SPEED = 30.0
"""How fast the search for the job of a lost start goes: half a minute takes a second. A second is about the
timeout of a request here, as half a minute is in production."""

THREADS = 16
STARTS = 12
"""Of each thread."""

SHARED = 3
ATTEMPTS = 6
MOST, MOST_OF_ONE_WORKFLOW = 5.5, 9.0
"""How many times as many requests as without faults: the job of a lost start is searched for six times. With
ten times as many starts of one workflow, each list of its new jobs takes up to five pages."""

ENDLESS = JobPlan(ends=None)


@dataclass
class Notes:
    """The note that the attempts of a task share.

    :param die_at: the write before which an attempt dies, counted from 1; 0 for none.
    """

    note: JsonObject | None = None
    writings: int = 0
    die_at: int = 0

    def read(self) -> object:
        return self.note

    def write(self, note: JsonObject) -> None:
        self.writings += 1
        if self.writings == self.die_at:
            raise Death
        self.note = note


class Death(BaseException):
    """The worker is gone."""


@dataclass
class Claims:
    """Which jobs the tasks of one run have as their own."""

    job_ids: list[int] = field(default_factory=list)

    def claimed(self) -> list[int]:
        return list(self.job_ids)

    def claim(self, job_id: int) -> None:
        self.job_ids.append(job_id)


@dataclass
class Outcome:
    """How a task ended.

    :param tag: is in the input of the task's job, so that the test can tell whose a job is.
    :param candidates: of the error that it ended in; ``None`` if it has a job.
    :param refusals: how many attempts Explorer refused.
    """

    tag: str
    job_id: int | None = None
    candidates: tuple[int, ...] | None = None
    refusals: int = 0


class Task:
    """A task that runs a workflow, with its attempts."""

    def __init__(self, stage: Stage, workflow_id: int, tag: str, claims: Claims | None = None) -> None:
        self._stage = stage
        self._client = open_client(stage)
        self._spec = RunSpec(stage.settings.base_url, workflow_id, {"query_1": {"tag": tag}})
        self._claims = claims
        self._outcome = Outcome(tag)

    def run(self, notes: Notes) -> Outcome:
        for number in range(1, ATTEMPTS + 1):
            try:
                job_id = self._attempt(number, notes)
            except Death:
                continue
            except NebulaExplorerAmbiguousSubmitError as error:
                self._outcome.candidates = tuple(job.id for job in error.candidates)
                if error.candidates:  # without any, the jobs could not be listed, and the next attempt tries
                    break
            except NebulaExplorerError:
                self._outcome.refusals += 1
            else:
                self._outcome.job_id, self._outcome.candidates = job_id, None
                if self._claims is not None:
                    self._claims.claim(job_id)
                break
        self._client.close()
        return self._outcome

    def _attempt(self, number: int, notes: Notes) -> int:
        fast = Hurry(self._stage.explorer.until_there, SEARCH_SPEED)
        submitter = Submitter(self._client, max_failures=12, claims=self._claims, sleep=fast.sleep)
        run = WorkflowRun(
            self._spec,
            Attempt(number, 0),
            submitter=submitter,
            job=JobWithoutKills(self._stage, self._client),
            memory=notes,
        )
        found = run.resume_or_intend()
        return found.id if isinstance(found, Job) else run.start(found)


@dataclass
class JobWithoutKills:
    """The job of a task that nobody kills or clears."""

    stage: Stage
    client: Client

    def start(self, call: Call[int]) -> int:
        return self.client.run(call)

    def track(self, job_id: int | None) -> None:
        pass

    def poll(self, job_id: int) -> Job:
        return self.stage.repeat(lambda: self.client.run(api.get_job(job_id)))

    def cancel(self, job_id: int, reason: str) -> None:
        raise AssertionError(f"nothing is abandoned, but job {job_id} is cancelled, as {reason}")


def tags(stage: Stage) -> dict[int, str]:
    """Return the tag of each job's task."""
    return {job["id"]: job["input"]["query_1"]["tag"] for job in stage.explorer.jobs()}


def start_jobs(stage: Stage, run: Callable[[int], list[Outcome]]) -> list[Outcome]:
    return [outcome for outcomes in side_by_side(run, range(THREADS)) for outcome in outcomes]


def test_each_start_makes_one_job(stage: Stage):
    stage.clear()

    def start(thread: int) -> list[Outcome]:
        chance = stage.chance(thread)
        stage.explorer.plan(100 + thread, ENDLESS)
        notes = [Notes(die_at=chance.choice((0, 0, 0, 0, 1, 2))) for _ in range(STARTS * stage.times)]
        return [
            Task(stage, 100 + thread, f"{thread}-{number}").run(note) for number, note in enumerate(notes)
        ]

    starts = THREADS * STARTS * stage.times
    with stage.storm(
        "starts, each thread its workflow",
        around_starts(),
        done=starts,
        needed=lambda: 1 + 2 * starts,
        most=MOST,
        every=100,
    ):
        outcomes = start_jobs(stage, start)

    made = tags(stage)
    per_task = Counter(made.values())
    assert set(per_task.values()) == {1}, "a task has two jobs"
    assert [made.get(it.job_id) for it in outcomes if it.job_id] == [it.tag for it in outcomes if it.job_id]
    for outcome in outcomes:
        if outcome.job_id is None:
            job_ids = {job_id for job_id, tag in made.items() if tag == outcome.tag}
            assert outcome.candidates is not None, (
                f"{outcome.tag}: neither a job nor an error with candidates"
            )
            assert job_ids <= set(outcome.candidates)
    assert sum(outcome.job_id is None for outcome in outcomes) <= starts // 50


def test_starts_of_one_workflow_at_once_take_no_job_of_another(stage: Stage):
    stage.clear()
    stage.explorer.plan(5, ENDLESS)
    claims = Claims()
    together = threading.Barrier(THREADS)

    def start(thread: int) -> list[Outcome]:
        together.wait()
        count = range(SHARED * stage.times)
        return [Task(stage, 5, f"{thread}-{number}", claims).run(Notes()) for number in count]

    starts = THREADS * SHARED * stage.times
    with stage.storm(
        "starts, all of one workflow",
        around_starts(),
        done=starts,
        needed=lambda: 1 + 2 * starts,
        most=MOST_OF_ONE_WORKFLOW,
        disruptions=("sessions", "clock"),
        every=50,
    ):
        outcomes = start_jobs(stage, start)

    taken = Counter(outcome.job_id for outcome in outcomes if outcome.job_id)
    assert set(taken.values()) == {1}, "a job belongs to two tasks"
    named = {job_id for outcome in outcomes for job_id in outcome.candidates or ()}
    assert set(tags(stage)) <= named.union(taken), "a job was reported to no task"
