# SPDX-License-Identifier: Apache-2.0
"""What is assumed of the filters of a list of jobs."""

from __future__ import annotations

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import (
    CannotTryError,
    Finding,
    RefusedError,
    Verdict,
    differs,
    ok,
)
from airflow_provider_nebula_explorer.doctor.list_checks import NO_SUCH_NAME, REPORT, newest
from airflow_provider_nebula_explorer.doctor.prober import ListPage, Prober
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.models import JobStatus

_CHECKED = "The package lives with it: it checks each job itself, and reads more pages."
_WHOLE_NAME = "A sensor or a list that has a part of a name finds nothing: give it the whole name."


def filter_by_status(prober: Prober) -> Finding:
    """Try a status that jobs have, and one that they need not have."""
    final = [job for job in newest(prober).jobs if job.status.is_final]
    if not final:
        raise CannotTryError("no job has ended yet")
    status = final[0].status
    other = next(status for status in JobStatus if status.is_final and status is not final[0].status)
    try:
        pages = {each: prober.list({"status": int(each)}) for each in (status, other)}
    except RefusedError:
        return differs("refused", f"Sensors and events that wait for a workflow fail. {REPORT}")
    if any(job.status is not each for each, page in pages.items() for job in page.jobs):
        return differs("not obeyed", _CHECKED, filter_by_status=False)
    if _misses(pages[status], {job.id for job in final if job.status is status}):
        return differs("jobs are missing", f"Sensors and events may miss jobs. {REPORT}")
    return ok("obeyed", filter_by_status=True)


def _misses(page: ListPage, expected: set[int]) -> bool:
    """Return whether a page that has room does not show all the jobs that it should."""
    return not page.is_full and not expected <= set(page.ids)


def filter_by_time(prober: Prober) -> Finding:
    """Try both ends of a window around one job."""
    job = _job_with_time(prober)
    ends = (("fromCreateTime", "asc", 1), ("toCreateTime", "desc", -1))
    try:
        broken = [key for key, order, inwards in ends if not _is_window(prober, job, key, order, inwards)]
    except RefusedError:
        return differs("refused", f"Starts, sensors and events may fail. {REPORT}")
    if not broken:
        return ok("both ends obeyed", filter_by_time=True)
    return differs(f"{' and '.join(broken)} not obeyed", _CHECKED, filter_by_time=False)


def _is_window(prober: Prober, job: JobSummary, key: str, order: str, inwards: int) -> bool:
    """Return whether a window that holds a job shows it, one beyond hides it, and neither shows others.

    :param inwards: 1 where the window begins at the key's time, -1 where it ends there.
    """
    created = job.created or 0
    around, beyond = created - inwards, created + inwards
    with_it = prober.list({key: around, "orderByCreateTime": order})
    without = prober.list({key: beyond, "orderByCreateTime": order})
    is_foreign = any(
        other.created is not None and (other.created - limit) * inwards < 0
        for page, limit in ((with_it, around), (without, beyond))
        for other in page.jobs
    )
    return not (is_foreign or _misses(with_it, {job.id}) or job.id in without.ids)


def ends_of_window(prober: Prober) -> Finding:
    """Try whether a window holds the very moment that it begins or ends with."""
    job = _job_with_time(prober)
    if filter_by_time(prober).verdict is not Verdict.OK:
        raise CannotTryError("the filter by time is not obeyed")
    excluded = [
        key
        for key, order in (("fromCreateTime", "asc"), ("toCreateTime", "desc"))
        if _misses(prober.list({key: job.created, "orderByCreateTime": order}), {job.id})
    ]
    if not excluded:
        return ok("inclusive")
    return differs(
        f"{' and '.join(excluded)} exclusive",
        "Waits and events are unaffected: they ask for a millisecond more. With created_after and "
        "created_before, do the same.",
    )


def _job_with_time(prober: Prober) -> JobSummary:
    """Return one of the newest jobs, with newer ones beside it where there are any."""
    jobs = [job for job in newest(prober).jobs[:4] if job.created]
    if not jobs:
        raise CannotTryError("no job has a createTime")
    return jobs[-1]


def filter_by_name(prober: Prober) -> Finding:
    """Try a job's whole name, and one that no job has."""
    job_id, name = _named_job(prober)
    try:
        found, nothing = prober.list({"name": name}), prober.list({"name": NO_SUCH_NAME})
    except RefusedError:
        return differs("refused", f"Leave name out in sensors and lists. {REPORT}", filter_by_name=False)
    if nothing.items:
        return differs(
            "not obeyed",
            f"A sensor with a name may take another job for its own. {REPORT}",
            filter_by_name=False,
        )
    if _misses(found, {job_id}):
        return differs(
            "a job is not found by its name", "Leave name out in sensors and lists.", filter_by_name=False
        )
    return ok("obeyed", filter_by_name=True)


def part_of_name(prober: Prober) -> Finding:
    """Try whether a part of a name finds the job."""
    job_id, name = _named_job(prober)
    if filter_by_name(prober).verdict is not Verdict.OK:
        raise CannotTryError("the filter by name is not obeyed")
    if len(name) < 3:
        raise CannotTryError("the jobs' names are too short")
    if not _misses(prober.list({"name": name[1:-1]}), {job_id}):
        return ok("found by a part", name_match="part")
    if not _misses(prober.list({"name": name[:-1]}), {job_id}):
        return differs("found by the beginning alone", _WHOLE_NAME, name_match="beginning")
    return differs("found by the whole name alone", _WHOLE_NAME, name_match="whole")


def _named_job(prober: Prober) -> tuple[int, str]:
    for job, item in newest(prober).readable:
        name = item.get("name")
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200:
            return job.id, name
    raise CannotTryError("no job has a name")


def jobs_of_workflow(prober: Prober) -> Finding:
    """Try whether the list of a workflow shows its jobs alone."""
    jobs = newest(prober).jobs
    ids = [job.workflow_id for job in jobs if job.workflow_id.isascii() and job.workflow_id.isdigit()]
    if not ids or len(ids[0]) > 20:
        raise CannotTryError("no job has a workflowId of digits")
    page = prober.list({}, workflow=ids[0])
    if any(job.workflow_id != ids[0] for job in page.jobs):
        return differs("those of other workflows, too", _CHECKED)
    if _misses(page, {job.id for job in jobs if job.workflow_id == ids[0]}):
        return differs("jobs are missing", f"Waits for a workflow's jobs may miss some. {REPORT}")
    return ok(f"{len(page.jobs)} jobs, all its own")


FILTER_CHECKS = (
    Check("filter by status", "obeyed", filter_by_status),
    Check("filter by time", "obeyed, in milliseconds", filter_by_time),
    Check("ends of a time filter", "inclusive", ends_of_window),
    Check("filter by name", "obeyed", filter_by_name),
    Check("part of a name", "is enough", part_of_name),
    Check("jobs of a workflow", "its own alone", jobs_of_workflow),
)
