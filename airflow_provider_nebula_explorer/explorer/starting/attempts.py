"""One run of a workflow for one task, across all of the task's attempts, which share a note about its job."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.client.api import add_job
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject, show
from airflow_provider_nebula_explorer.explorer.starting.submit import Intent, Submitter, undetermined
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe

log = logging.getLogger(__name__)


class Memory(Protocol):
    """Where a task's attempts leave notes for those after them."""

    def read(self) -> object:
        """Return the note; ``None`` where there is none."""

    def write(self, note: JsonObject) -> None:
        """Put a note in the place of the one before."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a task.

    :param number: counts the attempts.
    :param era: the same for an attempt and its retries; another one where a user asked for a new run.
    """

    number: int
    generation: int


@dataclass(frozen=True)
class RunSpec:
    """What a task wants to run, and where.

    :param explorer: the base address.
    :param input: as :func:`.arguments.parse_input` returns it.
    """

    explorer: str
    workflow_id: int
    input: dict[str, Any] | None

    @property
    def digest(self) -> str:
        """What tells this input from another."""
        return hashlib.sha256(json.dumps(self.input, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Note:
    """What an attempt leaves for those after it.

    :param input: the input's digest.
    :param intent: noted before the job was asked for.
    :param job_id: ``None`` until Explorer told it.
    :param was_not_started: whether no job came of it: Explorer refused, or was not reached.
    """

    attempt: Attempt
    explorer: str
    input: str
    intent: Intent
    job_id: int | None = None
    was_not_started: bool = False

    def to_json(self) -> JsonObject:
        """Return it as JSON values."""
        return {
            "attempt": self.attempt.number,
            "era": self.attempt.generation,
            "explorer": self.explorer,
            "input": self.input,
            "intent": self.intent.to_json(),
            "job_id": self.job_id,
            "void": self.was_not_started,
        }

    @classmethod
    def from_json(cls, data: Any) -> Note:
        """Read what :meth:`to_json` returned.

        :raises ValueError: where it is something else.
        """
        try:
            job_id = data["job_id"]
            return cls(
                Attempt(int(data["attempt"]), int(data["era"])),
                str(data["explorer"]),
                str(data["input"]),
                Intent.from_json(data["intent"]),
                None if job_id is None else int(job_id),
                bool(data["void"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError("this is not the note of a run") from error

    def is_of(self, wanted: RunSpec) -> bool:
        """Whether it tells of just what is wanted."""
        return (self.explorer, self.intent.workflow_id, self.input) == (
            wanted.explorer,
            wanted.workflow_id,
            wanted.digest,
        )


class WorkflowRun:
    """Gives a task its job: the one that an earlier attempt started, or else a new one.

    :param wanted: what to run.
    :param attempt: the attempt that asks.
    :param submitter: starts jobs.
    :param look: returns a job, however often it has to look.
    :param hold: told the id of an earlier attempt's job that is this one's now, and ``None`` where there may
        be one whose id is not known.
    :param memory: what the task's attempts share; ``None`` where each is alone.
    :param cancel: told a job that nobody waits for any more, and why, it ends it; ``None`` where such a job
        shall go on.
    """

    def __init__(
        self,
        wanted: RunSpec,
        attempt: Attempt,
        *,
        submitter: Submitter,
        look: Callable[[int], Job],
        hold: Callable[[int | None], None],
        memory: Memory | None = None,
        cancel: Callable[[int, str], None] | None = None,
    ) -> None:
        self._wanted = wanted
        self._attempt = attempt
        self._submitter = submitter
        self._look = look
        self._hold = hold
        self._memory = memory
        self._cancel = cancel

    def begin(self) -> tuple[int, Job | None]:
        """Return the id of the task's job, and the job where it was looked at.

        :raises NebulaExplorerAmbiguousSubmitError: where it is not known whether there is one.
        """
        note = self._read()
        if note is None or note.was_not_started:
            return self.start(), None
        if note.attempt.generation != self._attempt.generation:
            self._leave(note, "a user cleared the task, which requests a new job")
            return self.start(), None
        if not note.is_of(self._wanted):
            return self._begin_other(note), None
        if note.job_id is None:
            return self._settle(note)
        return self._go_on(note, note.job_id)

    def start(self) -> int:
        """Start a new job and return its id."""
        return self._submit(self._submitter.intend(self._wanted.workflow_id))

    def is_of_earlier(self, job_id: int) -> bool:
        """Whether a job is one that an earlier attempt started."""
        note = self._read()
        return note is not None and note.job_id == job_id and note.attempt.number != self._attempt.number

    def _submit(self, intent: Intent) -> int:
        note = Note(self._attempt, self._wanted.explorer, self._wanted.digest, intent)
        self._write(note)
        try:
            job_id = self._submitter.submit(add_job(self._wanted.workflow_id, self._wanted.input), intent)
        except NebulaExplorerAmbiguousSubmitError:
            raise
        except NebulaExplorerError:
            self._write_if_possible(replace(note, was_not_started=True))
            raise
        self._write_if_possible(replace(note, job_id=job_id))
        return job_id

    def _settle(self, note: Note) -> tuple[int, Job | None]:
        self._hold(None)
        found = self._submitter.find(note.intent, _lost(note))
        if found is None:
            log.warning("No such job appeared: requesting one again.")
            return self._submit(self._submitter.again(note.intent)), None
        note = replace(note, job_id=found)
        self._write_if_possible(note)
        return self._go_on(note, found)

    def _go_on(self, note: Note, job_id: int) -> tuple[int, Job | None]:
        """Go on with a job of an earlier attempt, unless it is over, or about to be, and no success."""
        self._hold(job_id)
        try:
            job = self._look_for(note, job_id)
        except NebulaExplorerNotFoundError:
            log.warning("Job %s of attempt %s is gone: starting a new one.", job_id, note.attempt.number)
            return self.start(), None
        told = (describe(job), job.status.name, note.attempt.number)
        if job.status in _OF_NO_USE:
            log.info("%s is %s (started by attempt %s): starting a new one.", *told)
            return self.start(), None
        log.info("Resuming %s. It is %s; attempt %s started it.", *told)
        return job_id, job

    def _begin_other(self, note: Note) -> int:
        if note.job_id is None and note.explorer == self._wanted.explorer:
            lost = f"{_lost(note)} It wanted a different workflow or input than this attempt."
            if new := self._submitter.candidates(note.intent, lost):
                raise undetermined(note.intent, lost, new)
        else:
            self._leave(note, "this attempt wants a different connection, workflow or input")
        return self.start()

    def _leave(self, note: Note, reason: str) -> None:
        """See to a job that no attempt will go on with: nobody waits for it any more."""
        if note.explorer != self._wanted.explorer:
            job = "its job, if any," if note.job_id is None else f"job {note.job_id}"
            log.warning("%s At %s, %s is left alone, as %s.", _began(note), note.explorer, job, reason)
            return
        try:
            jobs = self._what_came_of(note)
        except NebulaExplorerNotFoundError:
            return
        except NebulaExplorerError as error:
            log.warning("%s Its job may keep running, though %s: %s", _began(note), reason, error)
            return
        is_ours = note.job_id is not None or self._is_most_likely_ours(note, jobs)
        self._end(jobs, reason, self._cancel if is_ours else None)

    def _is_most_likely_ours(self, note: Note, new: list[Job]) -> bool:
        """Whether what is new since a start whose answer was lost may be ended as what came of it."""
        return len(new) == 1 and self._submitter.reconciles and not self._submitter.is_late(note.intent)

    def _what_came_of(self, note: Note) -> list[Job]:
        if note.job_id is not None:
            return [self._look_for(note, note.job_id)]
        return self._submitter.candidates(note.intent, _lost(note))

    def _look_for(self, note: Note, job_id: int) -> Job:
        """Return a job that was noted; an Explorer that was set up anew may have given its id to another."""
        job = self._look(job_id)
        if job.workflow_id.isdecimal() and int(job.workflow_id) != note.intent.workflow_id:
            raise NebulaExplorerNotFoundError(f"{describe(job)} belongs to workflow {job.workflow_id}.")
        return job

    def _end(self, jobs: list[Job], reason: str, cancel: Callable[[int, str], None] | None) -> None:
        for job in jobs:
            if job.status.is_final:
                continue
            if cancel:
                cancel(job.id, reason)
            else:
                log.warning("%s is %s and is left alone, though %s.", describe(job), job.status.name, reason)

    def _read(self) -> Note | None:
        data = self._memory.read() if self._memory else None
        if data is None:
            return None
        try:
            return Note.from_json(data)
        except ValueError:
            log.warning("The note of an earlier attempt cannot be read and is ignored: %s", show(data))
            return None

    def _write(self, note: Note) -> None:
        if self._memory:
            self._memory.write(note.to_json())

    def _write_if_possible(self, note: Note) -> None:
        # What was noted before is enough to find the job, so it need not end the wait for it.
        try:
            self._write(note)
        except NebulaExplorerError as error:
            job = "a job that does not exist" if note.job_id is None else f"job {note.job_id}"
            log.warning("%s Another attempt would have to search for %s.", error, job)


_OF_NO_USE = (JobStatus.FAILED, JobStatus.STOPPING, JobStatus.INTERRUPTED)
"""Of a job of an earlier attempt: a new one is needed."""


def _began(note: Note) -> str:
    return f"Attempt {note.attempt.number} of this task began to run workflow {note.intent.workflow_id}."


def _lost(note: Note) -> str:
    at = note.intent.asked_at
    when = f", at {datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return (
        f"Attempt {note.attempt.number} of this task ended while it requested a job of workflow "
        f"{note.intent.workflow_id}{when}."
    )
