# SPDX-License-Identifier: Apache-2.0
"""One run of a workflow for one task, across all of the task's attempts, which share a note about its job."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.client.api import add_job
from airflow_provider_nebula_explorer.explorer.client.protocol import Call
from airflow_provider_nebula_explorer.explorer.models import (
    Job,
    JobStatus,
    JsonObject,
    number_in,
    one_line,
    show,
)
from airflow_provider_nebula_explorer.explorer.starting.submit import Intent, Submitter, undetermined
from airflow_provider_nebula_explorer.explorer.waiting.outcome import MOST_SHOWN, describe

log = logging.getLogger(__name__)


class Memory(Protocol):
    """Where a task's attempts leave notes for later ones; as text, it says where that is."""

    def read(self) -> object:
        """Return the note; ``None`` if there is none."""

    def write(self, note: JsonObject) -> None:
        """Replace the note."""


class TrackedJob(Protocol):
    """Starts a task's job, and knows which job a kill has to cancel."""

    def start(self, call: Call[int]) -> int:
        """Make the call that starts the job, and return its id."""

    def track(self, job_id: int | None) -> None:
        """Note which job is the task's; ``None``: there may be one, but its id is not known."""

    def poll(self, job_id: int) -> Job:
        """Return a job as it is now; polls that fail are repeated."""

    def cancel(self, job_id: int, reason: str) -> None:
        """Cancel a job that nobody waits for any more.

        :param reason: why nobody waits.
        """


@dataclass(frozen=True)
class Attempt:
    """One attempt of a task.

    :param number: counts the attempts.
    :param generation: the same for an attempt and its retries; another one after a user requested a new run.
    """

    number: int
    generation: int


@dataclass(frozen=True)
class RunSpec:
    """What a task is to run, and where.

    :param explorer: the base address.
    :param input: as :func:`.arguments.parse_input` returns it.
    """

    explorer: str
    workflow_id: int
    input: dict[str, Any] | None

    @property
    def digest(self) -> str:
        """A hash that distinguishes this input from others."""
        return hashlib.sha256(json.dumps(self.input, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Note:
    """What an attempt leaves for later ones.

    :param input: the input's digest.
    :param intent: noted before the job was requested.
    :param job_id: ``None`` until Explorer returned it.
    :param was_not_started: whether it is certain that no job was started, as Explorer refused the request or
        was not reached.
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
            "generation": self.attempt.generation,
            "explorer": self.explorer,
            "input": self.input,
            "intent": self.intent.to_json(),
            "job_id": self.job_id,
            "not_started": self.was_not_started,
        }

    @classmethod
    def from_json(cls, data: Any) -> Note:
        """Read what :meth:`to_json` returned.

        :raises ValueError: if it is something else.
        """
        try:
            job_id = data["job_id"]
            return cls(
                Attempt(int(data["attempt"]), int(data["generation"])),
                str(data["explorer"]),
                str(data["input"]),
                Intent.from_json(data["intent"]),
                None if job_id is None else int(job_id),
                bool(data["not_started"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError("this is not the note of a run") from error

    def is_of(self, spec: RunSpec) -> bool:
        """Return whether the attempt ran the same workflow with the same input at the same Explorer."""
        ran = (self.explorer, self.intent.workflow_id, self.input)
        return ran == (spec.explorer, spec.workflow_id, spec.digest)


class WorkflowRun:
    """Finds the job that an earlier attempt of a task started, or starts a new one.

    :param spec: what to run.
    :param attempt: the attempt that runs now.
    :param submitter: lists the workflow's jobs, and sends the start again if no job came of it.
    :param job: makes the start, and learns which job is the task's.
    :param memory: what the task's attempts share; ``None`` if each is alone.
    :param cancels_abandoned: whether a job that no attempt will resume is cancelled, or continues.
    """

    def __init__(
        self,
        spec: RunSpec,
        attempt: Attempt,
        *,
        submitter: Submitter,
        job: TrackedJob,
        memory: Memory | None = None,
        cancels_abandoned: bool = False,
    ) -> None:
        self._spec = spec
        self._attempt = attempt
        self._submitter = submitter
        self._job = job
        self._memory = memory
        self._cancels_abandoned = cancels_abandoned

    def resume_or_intend(self) -> Job | Intent:
        """Return the job of an earlier attempt to continue with; without one, the intent for :meth:`start`.

        :raises NebulaExplorerAmbiguousSubmitError: if it cannot be determined whether there is one.
        """
        note = self._read_of_earlier()
        if note is None or note.was_not_started:
            return self.intend()
        if note.attempt.generation != self._attempt.generation:
            self._abandon(note, "a user cleared the task, which requests a new job")
            return self.intend()
        if not note.is_of(self._spec):
            self._abandon_other(note)
            return self.intend()
        return self._settle(note) if note.job_id is None else self._resume(note, note.job_id)

    def intend(self) -> Intent:
        """Return the intent for a new start."""
        return self._submitter.intend(self._spec.workflow_id)

    def start(self, intent: Intent) -> int:
        """Start a new job and return its id.

        :raises NebulaExplorerAmbiguousSubmitError: if it cannot be determined whether there is one.
        """
        note = Note(self._attempt, self._spec.explorer, self._spec.digest, intent)
        self._write(note)
        call = add_job(self._spec.workflow_id, self._spec.input)
        try:
            job_id = self._submitter.submit(call, intent, send=self._job.start)
        except NebulaExplorerAmbiguousSubmitError:
            raise
        except NebulaExplorerError:
            self._write_if_possible(replace(note, was_not_started=True))
            raise
        self._job.track(job_id)
        self._write_if_possible(replace(note, job_id=job_id))
        return job_id

    def is_of_earlier(self, job_id: int) -> bool:
        """Return whether an earlier attempt started a job."""
        note = self._read()
        return note is not None and note.job_id == job_id and note.attempt.number != self._attempt.number

    def _settle(self, note: Note) -> Job | Intent:
        """Find out whether a job came of an attempt that ended before it knew."""
        self._job.track(None)
        found = self._submitter.find(note.intent, _lost(note))
        if found is None:
            log.warning("No such job appeared: requesting one again.")
            return self._submitter.intend_again(note.intent)
        note = replace(note, job_id=found)
        self._write_if_possible(note)
        return self._resume(note, found)

    def _resume(self, note: Note, job_id: int) -> Job | Intent:
        """Return the job of an earlier attempt, unless it failed, was interrupted, is stopping or is gone."""
        self._job.track(job_id)
        try:
            job = self._poll(note, job_id)
        except NebulaExplorerNotFoundError:
            log.warning("Job %s of attempt %s is gone: starting a new one.", job_id, note.attempt.number)
            return self.intend()
        facts = (describe(job), job.status.name, note.attempt.number)
        if job.status in _NOT_RESUMED:
            log.info("%s is %s (started by attempt %s): starting a new one.", *facts)
            return self.intend()
        log.info("Resuming %s. It is %s; attempt %s started it.", *facts)
        return job

    def _abandon_other(self, note: Note) -> None:
        """Abandon the job of an attempt that ran something else."""
        if note.job_id is None and note.explorer == self._spec.explorer:
            lost = f"{_lost(note)} It wanted a different workflow or input than this attempt."
            if new := self._submitter.candidates(note.intent, lost):
                raise undetermined(note.intent, lost, new)
        else:
            self._abandon(note, "this attempt wants a different connection, workflow or input")

    def _abandon(self, note: Note, reason: str) -> None:
        """Cancel the job of an attempt that nobody will resume, or log why it is left alone."""
        if note.explorer != self._spec.explorer:
            its_job = "its job, if any," if note.job_id is None else f"job {note.job_id}"
            explorer = one_line(note.explorer)
            log.warning("%s At %s, %s is left alone, as %s.", _began(note), explorer, its_job, reason)
            return
        try:
            jobs = self._jobs_of(note)
        except NebulaExplorerNotFoundError:
            return
        except NebulaExplorerError as error:
            log.warning("%s Its job may keep running, though %s: %s", _began(note), reason, error)
            return
        is_ours = note.job_id is not None or self._is_most_likely_ours(note, jobs)
        open_jobs = [job for job in jobs if not job.status.is_final]
        for job in open_jobs[:MOST_SHOWN]:
            if is_ours and self._cancels_abandoned:
                self._job.cancel(job.id, reason)
            else:
                log.warning("%s is %s and is left alone, though %s.", describe(job), job.status.name, reason)
        if len(open_jobs) > MOST_SHOWN:
            log.info("  and %d more jobs", len(open_jobs) - MOST_SHOWN)

    def _jobs_of(self, note: Note) -> list[Job]:
        if note.job_id is not None:
            return [self._poll(note, note.job_id)]
        return self._submitter.candidates(note.intent, _lost(note))

    def _is_most_likely_ours(self, note: Note, new: list[Job]) -> bool:
        """Return whether the new jobs since a start whose response was lost may be cancelled as its own."""
        return len(new) == 1 and self._submitter.reconciles and not self._submitter.is_late(note.intent)

    def _poll(self, note: Note, job_id: int) -> Job:
        """Return a noted job; an Explorer that was set up anew may have given its id to another one."""
        job = self._job.poll(job_id)
        if number_in(job.workflow_id) not in (None, note.intent.workflow_id):
            raise NebulaExplorerNotFoundError(f"{describe(job)} belongs to workflow {job.workflow_id}.")
        return job

    def _read_of_earlier(self) -> Note | None:
        """Return the note that an earlier attempt left, and log whether there is one."""
        note = self._read()
        if note is not None and note.attempt.number >= self._attempt.number:
            # It is of a deleted DAG run with the same id. Later attempts must not take it for this one's.
            self._write(replace(note, attempt=self._attempt, was_not_started=True))
            note = None
        if self._memory and self._attempt.number > 1:
            found = "no note" if note is None else f"attempt {note.attempt.number}'s note"
            log.info("Attempt %s of this task found %s in %s.", self._attempt.number, found, self._memory)
        return note

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
        # The note before this one is enough to find the job, so a failure need not end the wait for it.
        try:
            self._write(note)
        except NebulaExplorerError as error:
            job = "a job that does not exist" if note.job_id is None else f"job {note.job_id}"
            log.warning("%s Another attempt would have to search for %s.", error, job)


_NOT_RESUMED = (JobStatus.FAILED, JobStatus.STOPPING, JobStatus.INTERRUPTED)
"""Statuses in which a job of an earlier attempt is of no use, so that a new one is started."""


def _began(note: Note) -> str:
    return f"Attempt {note.attempt.number} of this task began to run workflow {note.intent.workflow_id}."


def _lost(note: Note) -> str:
    at = note.intent.requested_at
    when = f", at {datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if at else ""
    return (
        f"Attempt {note.attempt.number} of this task ended while it requested a job of workflow "
        f"{note.intent.workflow_id}{when}."
    )
