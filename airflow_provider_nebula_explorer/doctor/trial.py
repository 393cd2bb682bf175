# SPDX-License-Identifier: Apache-2.0
"""A job that is started to see what becomes of it: started, found, watched, cancelled."""

from __future__ import annotations

from airflow_provider_nebula_explorer.doctor.findings import CannotTryError
from airflow_provider_nebula_explorer.doctor.observation import Observation
from airflow_provider_nebula_explorer.doctor.prober import Prober, read_page
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject, whole_number

_SEARCHES = (0.0, 0.5, 1.0, 2.0)
"""Pauses before each search for the new job, in seconds."""

_POLLS_BEFORE_CANCEL = (1.0, 1.0, 1.0)
_POLLS_AFTER_CANCEL = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0)


class Trial:
    """One job, and what was seen of it.

    What was not reached is ``None``, and :attr:`trouble` says why.
    """

    def __init__(self, prober: Prober, workflow_id: int) -> None:
        self._prober = prober
        self._workflow_id = workflow_id
        self.started: Observation | None = None
        self.job_id: int | None = None
        self.in_details_after: float | None = None
        self.in_list_after: float | None = None
        self.data: JsonObject | None = None
        self.statuses: list[JobStatus] = []
        self.cancel: Observation | None = None
        self.cancel_again: Observation | None = None
        self.cancel_final: Observation | None = None
        self.trouble = ""

    @property
    def may_still_run(self) -> bool:
        """Whether a job may be left behind that nobody cancelled."""
        was_refused = self.started is not None and self.started.code != 0
        return not (was_refused or self.is_cancelled or self.is_final)

    @property
    def is_cancelled(self) -> bool:
        """Whether Explorer accepted to cancel the job."""
        return self.cancel is not None and self.cancel.code == 0

    @property
    def is_final(self) -> bool:
        """Whether the job was seen to have ended."""
        return bool(self.statuses) and self.statuses[-1].is_final

    def run(self) -> None:
        """Start the job and do all of it; whatever happens, the job is cancelled."""
        try:
            self._start()
            self._find()
            self._watch(_POLLS_BEFORE_CANCEL, until=JobStatus.RUNNING)
            if not self.is_final:
                self.cancel = self._cancel()
            if self.is_cancelled:
                self.cancel_again = self._cancel()
                self._watch(_POLLS_AFTER_CANCEL)
            if self.is_final:
                self.cancel_final = self._cancel()
        except CannotTryError as error:
            self.trouble = str(error)
        finally:
            self._cancel_what_is_left()

    def _start(self) -> None:
        self.started = self._prober.call("add a job", api.add_job(self._workflow_id).request)
        data = self.started.data()
        try:
            self.job_id = whole_number(data if isinstance(data, dict) else {}, "id", least=1)
        except ValueError:
            raise CannotTryError("no id came back") from None

    def _find(self) -> None:
        begin = self._prober.now()
        for pause in _SEARCHES:
            self._prober.sleep(pause)
            if self.in_details_after is None and self._poll():
                self.in_details_after = self._prober.now() - begin
            if self.in_list_after is None and self._is_in_list():
                self.in_list_after = self._prober.now() - begin
            if self.in_details_after is not None and self.in_list_after is not None:
                return

    def _watch(self, pauses: tuple[float, ...], until: JobStatus | None = None) -> None:
        for pause in pauses:
            if self.is_final or (self.statuses and self.statuses[-1] is until):
                return
            self._prober.sleep(pause)
            self._poll()

    def _poll(self) -> bool:
        """Fetch the job, and return whether it is there."""
        seen = self._prober.details(self._id)
        data = seen.envelope.get("data") if seen.envelope and seen.code == 0 else None
        try:
            if not isinstance(data, dict) or whole_number(data, "id") != self._id:
                return False
            status = JobStatus(whole_number(data, "status"))
        except ValueError:
            return False
        self.data = data
        if status not in self.statuses[-1:]:
            self.statuses.append(status)
        return True

    def _is_in_list(self) -> bool:
        request = api.list_jobs(self._workflow_id, {}, 1, 10).request
        return self._id in read_page(self._prober.call("list a workflow's jobs", request).data()).ids

    def _cancel(self) -> Observation:
        return self._prober.call("cancel", api.cancel_job(self._id).request)

    @property
    def _id(self) -> int:
        if self.job_id is None:
            raise CannotTryError("no job was started")
        return self.job_id

    def _cancel_what_is_left(self) -> None:
        if self.job_id is not None and self.may_still_run:
            try:
                self.cancel = self._cancel()
            except CannotTryError as error:
                self.trouble = self.trouble or str(error)
