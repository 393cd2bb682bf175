# SPDX-License-Identifier: Apache-2.0
"""The filter of a list of jobs: its keys, what each may hold, and which jobs it shows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeGuard

from airflow_provider_nebula_explorer.emulator.jobs import EmulatedJob
from airflow_provider_nebula_explorer.emulator.refusals import WRONG_PARAMETER, RefusedError, wrong_parameter
from airflow_provider_nebula_explorer.explorer.models import JsonObject


@dataclass(frozen=True)
class JobFilter:
    """A filter that was checked, in the API's own words."""

    criteria: JsonObject

    @classmethod
    def from_json(cls, value: object) -> JobFilter:
        """Check a filter.

        :raises RefusedError: if a key is not known or a value is wrong.
        """
        if not isinstance(value, dict):
            raise wrong_parameter("filter", "a JSON object")
        for key, criterion in value.items():
            if key not in _CRITERIA:
                raise RefusedError(WRONG_PARAMETER, f"filter has no {key!r}")
            is_valid, allowed, _ = _CRITERIA[key]
            if not is_valid(criterion):
                raise wrong_parameter(f"filter.{key}", allowed)
        return cls(value)

    def without(self, keys: Collection[str]) -> JobFilter:
        """Return the filter without some keys."""
        return JobFilter({key: value for key, value in self.criteria.items() if key not in keys})

    @property
    def newest_first(self) -> bool:
        """Whether the list begins with the newest job."""
        return self.criteria.get("orderByCreateTime") != "asc"

    def shows(self, job: EmulatedJob, now: float) -> bool:
        """Whether a job is in the list at a moment in epoch seconds."""
        return all(_CRITERIA[key][2](job, criterion, now) for key, criterion in self.criteria.items())


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a number without a fraction."""
    return isinstance(value, int) and not isinstance(value, bool)


_CRITERIA: dict[str, tuple[Callable[[Any], bool], str, Callable[[EmulatedJob, Any, float], bool]]] = {
    "name": (lambda value: isinstance(value, str), "a string", lambda job, part, _: part in job.name),
    "status": (is_whole, "a number", lambda job, status, now: status == job.status(now)),
    "fromCreateTime": (is_whole, "a number", lambda job, earliest, _: earliest <= job.create_time),
    "toCreateTime": (is_whole, "a number", lambda job, latest, _: job.create_time <= latest),
    "orderByCreateTime": (lambda value: value in ("asc", "desc"), "asc or desc", lambda *_: True),
}
"""What a filter may hold: the value's check, what is allowed, and whether it shows a job at a moment."""
