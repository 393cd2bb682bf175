"""Controls an emulator in another process: the methods of ``Emulator``, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.emulator.api import Answer, Request, json_answer, refused
from airflow_provider_nebula_explorer.emulator.faults import Fault
from airflow_provider_nebula_explorer.emulator.plans import JobPlan, as_object, read_workflow
from airflow_provider_nebula_explorer.emulator.refusals import NOT_FOUND, WRONG_PARAMETER, RefusedError

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.emulator.server import Emulator

PREFIX = "/_emulator/"


def answer(emulator: Emulator, request: Request) -> Answer:
    """Do what a control request asks; what is wrong with one is told in Explorer's own envelope."""
    try:
        return json_answer(_do(emulator, request))
    except RefusedError as refusal:
        return refused(refusal)
    except (TypeError, ValueError) as error:
        return refused(RefusedError(WRONG_PARAMETER, str(error)))


def _do(emulator: Emulator, request: Request) -> Any:
    asked = f"{request.method} {request.path.removeprefix(PREFIX)}"
    for pattern, act in _CONTROLS.items():
        match = re.fullmatch(pattern, asked)
        if match:
            return act(emulator, request.json, *match.groups())
    known = ", ".join(pattern.replace(" ", f" {PREFIX}").replace("([0-9]+)", "<id>") for pattern in _CONTROLS)
    raise RefusedError(NOT_FOUND, f"the emulator answers {known}")


def _calls(emulator: Emulator, _: object) -> Any:
    calls = [asdict(call) for call in emulator.calls]
    return {"logins": emulator.logins, "connections": emulator.connections, "calls": calls}


def _jobs(emulator: Emulator, _: object) -> Any:
    return [{**job, "input": emulator.input(job["id"])} for job in emulator.jobs]


def _plan(emulator: Emulator, body: object, workflow_id: str) -> Any:
    name, plan = read_workflow(body)
    emulator.plan(workflow_id, plan, name=name)
    return {}


def _start_job(emulator: Emulator, body: object) -> Any:
    values = dict(as_object(body, "a job to start"))
    if values.get("plan") is not None:
        values["plan"] = JobPlan.from_json(values["plan"])
    return {"id": emulator.start_job(**values)}


def _fail(emulator: Emulator, body: object) -> Any:
    emulator.fail(Fault.from_json(body))
    return {}


def _clear_faults(emulator: Emulator, _: object) -> Any:
    emulator.clear_faults()
    return {}


def _forget(emulator: Emulator, _: object) -> Any:
    emulator.forget_sessions()
    return {}


def _advance(emulator: Emulator, body: object) -> Any:
    emulator.advance(_seconds(body))
    return {"now": emulator.now()}


def _set_clock(emulator: Emulator, body: object) -> Any:
    emulator.set_clock(_seconds(body))
    return {"now": emulator.now()}


def _seconds(body: object) -> float:
    return float(as_object(body, "what is to be done").get("seconds", "nothing"))


_CONTROLS: dict[str, Callable[..., Any]] = {
    "GET calls": _calls,
    "GET jobs": _jobs,
    "POST jobs": _start_job,
    "POST plans/([0-9]+)": _plan,
    "POST faults": _fail,
    "DELETE faults": _clear_faults,
    "POST sessions/forget": _forget,
    "POST advance": _advance,
    "POST clock": _set_clock,
}
