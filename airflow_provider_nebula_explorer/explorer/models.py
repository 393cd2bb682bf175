# SPDX-License-Identifier: Apache-2.0
"""What Explorer returns about jobs and their tasks: statuses, times and values, all frozen."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

JsonObject = dict[str, Any]


class JobStatus(IntEnum):
    """The status of a job or of one of its tasks (Explorer's API pages, "Job status code").

    A code of a newer Explorer becomes a member named ``UNKNOWN_<code>`` that is not final.
    """

    PREPARING = 0
    RUNNING = 1
    SUCCESS = 2
    FAILED = 3
    INTERRUPTED = 4
    STOPPING = 5

    @classmethod
    def _missing_(cls, value: object) -> JobStatus | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_final(self) -> bool:
        """Whether the status will never change again."""
        return self in _FINAL

    @property
    def is_success(self) -> bool:
        """Whether the job or task ended as it should."""
        return self is JobStatus.SUCCESS

    @property
    def is_known(self) -> bool:
        """Whether this version of the package knows the code."""
        return self.name in JobStatus.__members__


_FINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.INTERRUPTED})


@dataclass(frozen=True)
class Task:
    """One component of a job; not an Airflow task.

    :param id: 32 hex characters.
    :param name: the component's name, such as ``query_1``.
    :param status: its status in Explorer's last response.
    :param run_begin_time: when it began, in UTC; ``None`` before that.
    :param run_end_time: when it ended, in UTC; ``None`` before that.
    """

    id: str
    name: str
    status: JobStatus
    run_begin_time: datetime | None = None
    run_end_time: datetime | None = None

    @property
    def duration(self) -> timedelta | None:
        """How long it ran; ``None`` while that is not known."""
        return duration(self.run_begin_time, self.run_end_time)


@dataclass(frozen=True)
class Job:
    """One run of a workflow.

    :param id: a whole number, above 0.
    :param status: its status in Explorer's last response.
    :param name: the job's name, such as ``workflow_xkkjf_20220712103332``.
    :param workflow_id: digits, as text.
    :param workflow_name: the name of its workflow.
    :param tasks: the job's tasks; empty if the job came from a list.
    :param run_begin_time: when it began, in UTC; ``None`` before that.
    :param run_end_time: when it ended, in UTC; ``None`` before that.
    :param create_time: when it was created, in UTC; ``None`` if Explorer did not say.
    :param data: Explorer's own object, unchanged.
    """

    id: int
    status: JobStatus
    name: str = ""
    workflow_id: str = ""
    workflow_name: str = ""
    tasks: tuple[Task, ...] = ()
    run_begin_time: datetime | None = None
    run_end_time: datetime | None = None
    create_time: datetime | None = None
    data: JsonObject = field(default_factory=dict, repr=False, hash=False)

    @property
    def duration(self) -> timedelta | None:
        """How long it ran; ``None`` while that is not known."""
        return duration(self.run_begin_time, self.run_end_time)

    @property
    def failed_tasks(self) -> tuple[Task, ...]:
        """The tasks that ended without success, in Explorer's order."""
        return tuple(task for task in self.tasks if task.status.is_final and not task.status.is_success)


def parse_job(data: object) -> Job:
    """Read a job's object, from a list or from the job's details.

    :raises ValueError: if it is no object, or has no usable ``id`` or ``status``.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a job is a JSON object, not {type(data).__name__}")
    return Job(
        id=whole_number(data, "id", least=0),
        status=JobStatus(whole_number(data, "status")),
        name=_text(data, "name"),
        workflow_id=one_line(_text(data, "workflowId")),
        workflow_name=_text(data, "workflowName"),
        tasks=tuple(_parse_task(task) for task in _objects(data.get("tasks"))),
        run_begin_time=parse_time(data.get("runBeginTime")),
        run_end_time=parse_time(data.get("runEndTime")),
        create_time=parse_time(data.get("createTime")),
        data=data,
    )


def _parse_task(data: JsonObject) -> Task:
    # Go omits zeros of fields marked omitempty: a task without a status has not started.
    status = whole_number(data, "status") if data.get("status") is not None else JobStatus.PREPARING
    return Task(
        id=_text(data, "id"),
        name=_text(data, "name"),
        status=JobStatus(status),
        run_begin_time=parse_time(data.get("runBeginTime")),
        run_end_time=parse_time(data.get("runEndTime")),
    )


def _objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def whole_number(data: JsonObject, key: str, *, least: int = -(10**20)) -> int:
    """Return the number, of up to 20 digits, of a field of Explorer's object; it may be text there.

    :raises ValueError: if there is none.
    """
    value = data.get(key)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if least <= value < 10**20:
            return value
        raise ValueError(f"{key!r} is out of range")
    # The value is not shown: what comes from outside may contain a secret.
    raise ValueError(f"{key!r} is not a whole number but {type(value).__name__}")


def _text(data: JsonObject, key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


LONGEST_NAME = 200
"""Characters of a name from outside that a text of ours shows."""


def one_line(text: str, limit: int = LONGEST_NAME) -> str:
    """Return text from outside as logs, errors and other texts of ours show it: one printable line, cut.

    Otherwise a line break in a job's name would forge a line of a log, and an escape sequence would reach a
    terminal.
    """
    return "".join(letter if letter.isprintable() else " " for letter in text[:limit])


LONGEST_MESSAGE = 1000
"""Characters of a message from outside that a text of ours shows."""


def show_error(error: BaseException) -> str:
    """Return the error of another library as texts of ours show it: its class, and its text as one line."""
    return f"{type(error).__name__}: {one_line(str(error), LONGEST_MESSAGE)}"


def number_in(text: str) -> int | None:
    """Return the id that a text from outside is; ``None`` if it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else None


def show(value: object) -> str:
    """Return a value from outside as error texts show it: cut if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # whole numbers of thousands of digits, lists in lists in lists
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def parse_time(value: object) -> datetime | None:
    """Read a time of Explorer's: epoch milliseconds, or ISO 8601 text with an offset.

    :return: the time in UTC; ``None`` for one that has not come yet (``0``, ``null``, ``""``, Go's zero
        time) and for what is no time at all.
    """
    if isinstance(value, str) and not value.isdigit():
        return _parse_past(value)
    try:
        milliseconds = int(value) if isinstance(value, (int, float, str)) else 0
        return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None
    except (ValueError, OverflowError):
        return None


def parse_iso(text: str) -> datetime:
    """Read ISO 8601 text; aware where the text has an offset.

    :raises ValueError: if it is none.
    """
    if len(text) > 100:  # it is no time, and the patterns below would take long
        raise ValueError
    # Python 3.10 reads neither "Z", nor "+0800", nor a fraction of other than 3 or 6 digits.
    text = re.sub(r"\.\d+", lambda fraction: fraction[0][:7].ljust(7, "0"), text.replace("Z", "+00:00"))
    return datetime.fromisoformat(re.sub(r"(:\S*[+-]\d\d)(\d\d)$", r"\1:\2", text))


def _parse_past(text: str) -> datetime | None:
    try:
        time = parse_iso(text)
        time = (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return time if time > _EPOCH else None


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def duration(begin: datetime | None, end: datetime | None) -> timedelta | None:
    """Return the time between two times of Explorer's; ``None`` if one has not come yet."""
    return end - begin if begin and end else None
