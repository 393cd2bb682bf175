# SPDX-License-Identifier: Apache-2.0
"""Controls an emulator in another process: the methods of ``Emulator``, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from airflow_provider_nebula_explorer.emulator.calls import Call
from airflow_provider_nebula_explorer.emulator.faults import Fault
from airflow_provider_nebula_explorer.emulator.messages import Request, Response, json_response
from airflow_provider_nebula_explorer.emulator.plans import JobPlan, as_object, read_workflow
from airflow_provider_nebula_explorer.emulator.refusals import NOT_FOUND, WRONG_PARAMETER, RefusedError
from airflow_provider_nebula_explorer.emulator.text import one_line
from airflow_provider_nebula_explorer.explorer.models import JsonObject

PREFIX = "/_emulator/"


class Controlled(Protocol):
    """What of ``Emulator`` is controlled; a protocol, as ``Emulator`` itself imports this module."""

    @property
    def calls(self) -> tuple[Call, ...]: ...
    @property
    def logins(self) -> int: ...
    @property
    def clients(self) -> int: ...
    @property
    def most_clients(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def jobs(self) -> list[JsonObject]: ...
    def job(self, job_id: int) -> JsonObject: ...
    def input(self, job_id: int) -> JsonObject: ...
    def plan(
        self, workflow_id: int | str, plan: JobPlan | Sequence[JobPlan], *, name: str | None = None
    ) -> None: ...
    def start_job(
        self,
        workflow_id: int | str,
        input: JsonObject | None = None,
        *,
        plan: JobPlan | None = None,
        name: str | None = None,
        created: float | None = None,
    ) -> int: ...
    def fail(self, *faults: Fault) -> None: ...
    def clear_faults(self) -> None: ...
    def forget_sessions(self) -> None: ...
    def expire_graphd_sessions(self, code: int = ...) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def set_clock(self, seconds: float) -> None: ...
    def now(self) -> float: ...


def respond(emulator: Controlled, request: Request) -> Response:
    """Do what a control request says; Explorer's own envelope says what is wrong with a request."""
    try:
        return json_response(_do(emulator, request))
    except RefusedError as refusal:
        return refusal.response
    except (TypeError, ValueError) as error:
        return RefusedError(WRONG_PARAMETER, one_line(error, 500)).response


def _do(emulator: Controlled, request: Request) -> Any:
    command = f"{request.method} {request.path.removeprefix(PREFIX)}"
    for pattern, act in _CONTROLS.items():
        match = re.fullmatch(pattern, command)
        if match:
            return act(emulator, request.json, *match.groups())
    known = ", ".join(pattern.replace(" ", f" {PREFIX}").replace("([0-9]+)", "<id>") for pattern in _CONTROLS)
    raise RefusedError(NOT_FOUND, f"the emulator has {known}")


def _calls(emulator: Controlled, _: object) -> Any:
    calls = [asdict(call) for call in emulator.calls]
    logins = {
        "logins": emulator.logins,
        "clients": emulator.clients,
        "most_clients": emulator.most_clients,
    }
    return {**logins, "connections": emulator.connections, "calls": calls}


def _jobs(emulator: Controlled, _: object) -> Any:
    return [{**job, "input": emulator.input(job["id"])} for job in emulator.jobs]


def _plan(emulator: Controlled, body: object, workflow_id: str) -> Any:
    name, plans = read_workflow(body)
    emulator.plan(workflow_id, plans, name=name)
    return {}


def _start_job(emulator: Controlled, body: object) -> Any:
    values = dict(as_object(body, "a job to start"))
    if values.get("plan") is not None:
        values["plan"] = JobPlan.from_json(values["plan"])
    return {"id": emulator.start_job(**values)}


def _fail(emulator: Controlled, body: object) -> Any:
    emulator.fail(Fault.from_json(body))
    return {}


def _clear_faults(emulator: Controlled, _: object) -> Any:
    emulator.clear_faults()
    return {}


def _forget(emulator: Controlled, _: object) -> Any:
    emulator.forget_sessions()
    return {}


def _expire(emulator: Controlled, body: object) -> Any:
    emulator.expire_graphd_sessions(**as_object(body or {}, "the body"))
    return {}


def _advance(emulator: Controlled, body: object) -> Any:
    emulator.advance(_seconds(body))
    return {"now": emulator.now()}


def _set_clock(emulator: Controlled, body: object) -> Any:
    emulator.set_clock(_seconds(body))
    return {"now": emulator.now()}


def _seconds(body: object) -> float:
    return float(as_object(body, "the body").get("seconds", "nothing"))


_CONTROLS: dict[str, Callable[..., Any]] = {
    "GET calls": _calls,
    "GET jobs": _jobs,
    "POST jobs": _start_job,
    "POST plans/([0-9]+)": _plan,
    "POST faults": _fail,
    "DELETE faults": _clear_faults,
    "POST sessions/forget": _forget,
    "POST sessions/expire": _expire,
    "POST advance": _advance,
    "POST clock": _set_clock,
}
