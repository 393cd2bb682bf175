# SPDX-License-Identifier: Apache-2.0
"""The emulator's web pages, for people: its jobs, and each job with its tasks. They reload themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from html import escape

from airflow_provider_nebula_explorer.emulator.messages import Response, html_response
from airflow_provider_nebula_explorer.emulator.text import one_line
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject

PATH = re.compile("/|/jobs/([0-9]{1,19})")
"""The paths of the pages: the list of jobs, and one job."""
JOB_URL = "{base_url}/jobs/{job_id}"
"""The page of a job, as a connection's ``job_url``."""
_SHOWN = 100
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
body { color: #1c2733 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #d9e0e6 }
th, .note { color: #5b6b7a }
th { font-weight: 600 }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; vertical-align: top }
.RUNNING { color: #1155cc }
.SUCCESS { color: #14713d }
.FAILED { color: #b3261e }
.INTERRUPTED, .STOPPING { color: #8a5a00 }"""


def jobs_page(jobs: Sequence[JsonObject]) -> Response:
    """Return the page with the newest 100 jobs.

    :param jobs: the details of every job, oldest first.
    """
    rows = [_job_row(job) for job in reversed(jobs[-_SHOWN:])]
    shown = f"{len(jobs)} jobs" if len(jobs) <= _SHOWN else f"{len(jobs)} jobs, of which the newest {_SHOWN}"
    table = _table(("job", "name", "workflow", "status", "tasks done", "created", "begun", "ended"), rows)
    note = f"{shown}. Requests so far: <a href='/_emulator/calls'>/_emulator/calls</a>."
    return _page("Jobs", f"{table}<p class='note'>{note} {_TIMES}</p>")


def job_page(job: JsonObject) -> Response:
    """Return the page of one job.

    :param job: its details.
    """
    fields = _table(
        ("workflow", "status", "created", "begun", "ended"),
        [(_workflow(job), _status(job), *_times(job))],
    )
    tasks = _table(
        ("task", "status", "begun", "ended", "id"),
        [
            (
                _text(task["name"]),
                _status(task),
                _text(task["runBeginTime"]),
                _text(task["runEndTime"]),
                _text(task["id"]),
            )
            for task in job["tasks"]
        ],
    )
    body = f"{fields}<h2>Tasks</h2>{tasks}<p class='note'><a href='/'>All jobs</a>. {_TIMES}</p>"
    return _page(f"Job {job['id']}: {_text(job['name'])}", body, reload=not _is_final(job))


def missing_page(job_id: str) -> Response:
    """Return the page of a job that does not exist."""
    body = f"<p>There is no job {_text(job_id)}. <a href='/'>All jobs</a>.</p>"
    return _page("No such job", body, status=404)


_TIMES = "Times of jobs are in UTC; times of tasks are as the API writes them."


def _page(title: str, body: str, *, reload: bool = True, status: int = 200) -> Response:
    """Return a page; its title and its body are escaped already."""
    refresh = "<meta http-equiv='refresh' content='2'>" if reload else ""
    page = (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>{refresh}"
        f"<title>{title} - NebulaGraph Explorer's emulator</title><style>{_STYLE}</style></head>\n"
        f"<body><p class='note'>NebulaGraph Explorer's emulator</p><h1>{title}</h1>\n{body}\n</body></html>\n"
    )
    response = html_response(page, status)
    return Response(response.status, response.body, {**response.headers, **_HEADERS})


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>\n{lines}</table>"


def _job_row(job: JsonObject) -> tuple[str, ...]:
    done = sum(_is_final(task) for task in job["tasks"])
    link = f"<a href='/jobs/{job['id']}'>{job['id']}</a>"
    tasks = f"{done} of {len(job['tasks'])}"
    return (link, _text(job["name"]), _workflow(job), _status(job), tasks, *_times(job))


def _workflow(job: JsonObject) -> str:
    return f"{_text(job['workflowName'])} ({_text(job['workflowId'])})"


def _status(thing: JsonObject) -> str:
    name = _text(JobStatus(thing["status"]).name)
    return f"<span class='{name}'>{name}</span>"


def _is_final(thing: JsonObject) -> bool:
    return JobStatus(thing["status"]).is_final


def _times(job: JsonObject) -> tuple[str, ...]:
    return tuple(_moment(job[key]) for key in ("createTime", "runBeginTime", "runEndTime"))


def _moment(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, timezone.utc):%Y-%m-%d %H:%M:%S}"


def _text(value: object) -> str:
    return escape(one_line(value))
