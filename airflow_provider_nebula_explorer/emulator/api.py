# SPDX-License-Identifier: Apache-2.0
"""Explorer's HTTP interface as a pure function: a request in, a response out; no socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from airflow_provider_nebula_explorer.emulator.deviations import Deviations
from airflow_provider_nebula_explorer.emulator.filters import JobFilter, is_whole
from airflow_provider_nebula_explorer.emulator.jobs import ZERO_JOB
from airflow_provider_nebula_explorer.emulator.messages import (
    Request,
    Response,
    html_response,
    json_response,
    read_json,
)
from airflow_provider_nebula_explorer.emulator.refusals import MissingError, RefusedError, wrong_parameter
from airflow_provider_nebula_explorer.emulator.sessions import COOKIE_NAME, Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState, check_input
from airflow_provider_nebula_explorer.emulator.text import one_line
from airflow_provider_nebula_explorer.explorer.models import JsonObject

_SUCCESS: JsonObject = {"code": 0, "message": "Success"}
_LARGEST_ID = 2**63 - 1
_FORM_TYPE = "application/x-www-form-urlencoded"
WEB_APP = """<!DOCTYPE html>
<html><head><title>NebulaGraph Explorer</title></head>
<body><h1>NebulaGraph Explorer</h1>
<p>The emulator has no such page, and its API, which is under /api-open/v1, has no such path.
<a href="/">Its jobs</a></p>
</body></html>
"""
"""The page that Explorer's web app sends for every path that the API does not have."""


@dataclass(frozen=True)
class Explorer:
    """The emulated Explorer: its sessions, its jobs, and its responses."""

    sessions: Sessions
    state: ExplorerState
    deviations: Deviations = field(default_factory=Deviations)

    def respond(self, request: Request, now: float) -> Response:
        """Process a request at a moment in epoch seconds."""
        endpoint = _find(request)
        if endpoint is None and self.deviations.unknown_path == "html":
            return html_response(WEB_APP)
        try:
            return self._process(endpoint, request, now)
        except RefusedError as refusal:
            follows_code = self.deviations.http_status_follows_code
            return refusal.response if follows_code else replace(refusal.response, status=200)

    def _process(self, endpoint: _Endpoint | None, request: Request, now: float) -> Response:
        if endpoint is None:
            raise MissingError(f"path {one_line(request.path)}")
        return self._connect(request, now) if endpoint is CONNECT else self._act(endpoint, request, now)

    def _act(self, endpoint: _Endpoint, request: Request, now: float) -> Response:
        self.sessions.check(_token(request), now)
        ids = endpoint.path.fullmatch(request.path)
        try:
            data = endpoint.act(self.state, request, now, **(ids.groupdict() if ids else {}))
        except MissingError:
            if self.deviations.missing_job == "zero":
                return _success(endpoint.zero)
            if self.deviations.missing_job == "no_data":
                return json_response(_SUCCESS)
            raise
        return _success(_null_for_empty(data) if self.deviations.missing_job == "zero" else data)

    def _connect(self, request: Request, now: float) -> Response:
        body = _json_body(request)
        address, port = body.get("address"), body.get("port")
        if not isinstance(address, str) or not address:
            raise wrong_parameter("address", "a string")
        if not is_whole(port) or port not in range(1, 65536):
            raise wrong_parameter("port", "a port number")
        cookie = self.sessions.connect(request.headers.get("authorization", ""), address, port, now)
        return _success({"success": True}, {"Set-Cookie": cookie})


def endpoint_of(request: Request) -> str:
    """Return the name of the endpoint that a request is for; ``"unknown"`` if the API has none."""
    endpoint = _find(request)
    return UNKNOWN if endpoint is None else endpoint.name


def _run_workflow(state: ExplorerState, request: Request, now: float, workflow_id: str) -> JsonObject:
    body = _json_body(request) if request.body else {}
    number = _id("workflow id", workflow_id)
    return {"id": state.add(number, check_input(body.get("input")), now).id}


def _list_jobs(
    state: ExplorerState, request: Request, now: float, workflow_id: str | None = None
) -> JsonObject:
    key = None if workflow_id is None else str(_id("workflow id", workflow_id))
    page, page_size = _positive(request, "page", "1"), _positive(request, "pageSize", "10")
    criteria = JobFilter.from_json(read_json(request.query.get("filter") or "{}"))
    return state.list_jobs(criteria, page=page, page_size=page_size, now=now, workflow_id=key)


def _get_job(state: ExplorerState, _: Request, now: float, job_id: str) -> JsonObject:
    return state.job(_id("job id", job_id)).details(now)


def _cancel_job(state: ExplorerState, request: Request, now: float, job_id: str) -> JsonObject:
    if request.content_type != _FORM_TYPE:
        raise wrong_parameter("Content-Type", _FORM_TYPE)
    state.cancel(_id("job id", job_id), now)
    return {"success": True}


def _get_task_result(
    state: ExplorerState, request: Request, now: float, job_id: str, task_id: str
) -> JsonObject:
    limit = _positive(request, "limit", "")
    return {"items": state.rows(_id("job id", job_id), task_id, now)[:limit]}


class _Endpoint(NamedTuple):
    name: str
    method: str
    path: re.Pattern[str]
    act: Callable[..., JsonObject]
    zero: JsonObject


def _endpoint(
    name: str, method: str, path: str, act: Callable[..., JsonObject], zero: JsonObject
) -> _Endpoint:
    pattern = re.compile("/api-open/v1" + re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path))
    return _Endpoint(name, method, pattern, act, zero)


def _find(request: Request) -> _Endpoint | None:
    fitting = (it for it in _ENDPOINTS if it.method == request.method and it.path.fullmatch(request.path))
    return next(fitting, None)


_NO_JOBS: JsonObject = {"items": None, "total": 0, "Page": 1, "PageSize": 10}
_RESULT = "/jobs/<job_id>/tasks/<task_id>/sample_result"
CONNECT = _endpoint("connect", "POST", "/connect", dict, {})
UNKNOWN = "unknown"
_ENDPOINTS = (
    CONNECT,
    _endpoint("run_workflow", "POST", "/workflows/<workflow_id>/jobs", _run_workflow, {"id": 0}),
    _endpoint("list_workflow_jobs", "GET", "/workflows/<workflow_id>/jobs", _list_jobs, _NO_JOBS),
    _endpoint("list_jobs", "GET", "/jobs", _list_jobs, _NO_JOBS),
    _endpoint("get_job", "GET", "/jobs/<job_id>", _get_job, ZERO_JOB),
    _endpoint("cancel_job", "PUT", "/jobs/<job_id>/cancel", _cancel_job, {"success": True}),
    _endpoint("get_task_result", "GET", _RESULT, _get_task_result, {"items": None}),
)
ENDPOINTS = (*(endpoint.name for endpoint in _ENDPOINTS), UNKNOWN)
"""The names by which calls are counted and faults are aimed."""


def _success(data: JsonObject, headers: Mapping[str, str] | None = None) -> Response:
    return json_response({**_SUCCESS, "data": data}, headers=headers)


def _null_for_empty(data: JsonObject) -> JsonObject:
    return {key: None if value == [] else value for key, value in data.items()}


def _token(request: Request) -> str | None:
    for cookie in request.headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE_NAME:
            return value
    return None


def _json_body(request: Request) -> JsonObject:
    if request.content_type != "application/json":
        raise wrong_parameter("Content-Type", "application/json")
    if not isinstance(request.json, dict):
        raise wrong_parameter("body", "a JSON object")
    return request.json


def _positive(request: Request, name: str, default: str) -> int:
    number = _number(request.query.get(name, default))
    if not number:
        raise wrong_parameter(name, "a positive number")
    return number


def _id(what: str, text: str) -> int:
    number = _number(text)
    if number is None:
        raise wrong_parameter(what, "a number")
    return number


def _number(text: str) -> int | None:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        return None
    return int(text) if int(text) <= _LARGEST_ID else None
