# SPDX-License-Identifier: Apache-2.0
"""What is true of every value from outside: from Explorer, from a connection's form, from a template.

Both hypothesis, in ``tests/unit/test_hostile_values.py``, and the fuzzer in ``fuzz`` test it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import requests
import urllib3
from factories import Played, logged_in, no_jitter, settings
from hostile_server import LOGGED_IN, TOKEN, HostileServer

from airflow_provider_nebula_explorer.connection.reading import read_connection, unknown_extras
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError, NebulaExplorerError
from airflow_provider_nebula_explorer.explorer import arguments
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.protocol import ROOT, Call, Request, Response
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter

PASSWORD = "s3cr3t-pw"
LONGEST_TEXT = 4000
TASK_ID = "f" * 32

MOST_REQUESTS = 150

CALLS: tuple[Call[Any], ...] = (
    api.get_job(1),
    api.add_job(1),
    api.cancel_job(1),
    api.get_task_result(1, TASK_ID),
    api.list_jobs(None, {}, 1, 100),
    api.list_summaries(None, status=None, created_from=0, page_size=100),
)


def any_response_is_read_or_refused(response: Response) -> None:
    """Every call, the login too, ends with a value or an error of ours; no error contains a secret."""
    for call in CALLS:
        session = _session(max_retries=0)
        played = Played(session.call(call), logged_in(), response, logged_in(), response)
        _check_end(played, session)
        _check_value(played.value)
    session = _session(max_retries=1)
    played = Played(session.login(), *[response] * 4)
    _check_end(played, session)
    if played.error is None:
        assert re.fullmatch(r"[!-~]+", played.value.token)
        assert not set(played.value.token) & set('",;')
        assert re.fullmatch(r"explorer_token=[ -~]+", played.value.header)
        assert len(played.value.header) < len(played.value.token) + 10_000


def _session(max_retries: int) -> Session:
    account = Account("root", PASSWORD, "10.0.0.9")
    return Session(settings(account=account, max_retries=max_retries), jitter=no_jitter)


def _check_end(played: Played, session: Session) -> None:
    if played.error:
        assert isinstance(played.error, NebulaExplorerError), repr(played.error)
        _check_text(f"{played.error}", PASSWORD, *played.secrets)
        _check_text(getattr(played.error, "message", ""), PASSWORD, *played.secrets)
    assert all(0 <= pause <= 61 for pause in played.pauses)
    assert session.server_time is None or math.isfinite(session.server_time)
    for request in played.requests:
        _check_request(request)


def _check_text(text: str, *secrets: str) -> None:
    text.encode()
    assert len(text) <= LONGEST_TEXT
    assert not [secret for secret in secrets if len(secret) > 5 and secret in text]
    assert text.isprintable(), text


def _check_request(request: Request) -> None:
    assert re.fullmatch(r"/api-open/v1(/[A-Za-z_0-9]+)+(\?[!-~]*)?", request.target), request.target
    for name, value in request.headers.items():
        assert re.fullmatch(r"[!-~]+", name)
        assert re.fullmatch(r"[ -~]+", value)


def _check_value(value: object) -> None:
    jobs = value.items if isinstance(value, api.Page) else [value] if isinstance(value, Job) else []
    for job in jobs:
        _check_request(api.get_job(job.id).request)  # a job that Explorer names can be fetched
        assert isinstance(job.status.is_final, bool)
        assert re.fullmatch(r"[A-Z]+|UNKNOWN_[0-9]{1,20}", job.status.name)
    if isinstance(value, Job):
        for thing in (value, *value.tasks):
            assert thing.duration is None or math.isfinite(thing.duration.total_seconds())
        json.dumps(value.data, allow_nan=False)  # as XCom may
        link = settings(job_url="{base_url}/{job_id}/{workflow_id}?x").job_link(value.id, value.workflow_id)
        assert re.fullmatch(r"http://graph:7002/[0-9]+/[^/?#\s]*\?x", link), link


def any_lies_end_as_values_or_errors(lies: Sequence[bytes | None]) -> None:
    """Whatever bytes come back, in whatever order among true responses, for both clients and for a start.

    :param lies: see :class:`.hostile_server.HostileServer`.
    """
    is_token_known = not lies or lies[0] in (None, LOGGED_IN)
    secrets = (PASSWORD, TOKEN) if is_token_known else (PASSWORD,)
    for play in (_play_blocking, _play_on_loop):
        with HostileServer(lies) as server:
            account = Account("root", PASSWORD, "10.0.0.9")
            pauses: list[float] = []
            outcomes = play(settings(base_url=server.url, account=account, max_retries=1, timeout=5), pauses)
        for outcome in outcomes:
            _check_outcome(outcome, secrets)
        assert len(server.requests) < MOST_REQUESTS
        assert all(0 <= pause <= 61 for pause in pauses)


def _play_blocking(there: Settings, pauses: list[float]) -> list[object]:
    client = Client(there, sleep=pauses.append)
    submitter = Submitter(client, max_failures=2, sleep=pauses.append)
    try:
        outcomes = [_outcome(partial(client.run, call)) for call in CALLS]
        start = _outcome(lambda: submitter.submit(api.add_job(7), submitter.intend(7)))
        return [*outcomes, start, _outcome(partial(client.run, api.get_job(1)))]
    finally:
        client.close()


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except Exception as error:
        return error


def _play_on_loop(there: Settings, pauses: list[float]) -> list[object]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def play() -> list[object]:
        client = AsyncClient(there, sleep=sleep)
        try:
            alone = [await asyncio.gather(client.run(call), return_exceptions=True) for call in CALLS]
            at_once = await asyncio.gather(*map(client.run, CALLS), return_exceptions=True)
            return [outcome for outcomes in (*alone, at_once) for outcome in outcomes]
        finally:
            await client.close()

    return asyncio.run(play())


def _check_outcome(outcome: object, secrets: Sequence[str]) -> None:
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, NebulaExplorerError), repr(outcome)
        _check_text(str(outcome), *secrets)
        trace = "".join(traceback.format_exception(outcome))
        assert not [secret for secret in secrets if secret in trace]
    if isinstance(outcome, Job):
        assert outcome.id == 1
    if isinstance(outcome, int):
        assert outcome > 0
    _check_value(outcome)


def any_connection_is_read_or_refused(fields: dict[str, Any]) -> None:
    """A connection becomes settings that both clients can use and that lead nowhere else, or is an error."""
    extra = fields.get("extra")
    connection = SimpleNamespace(
        conn_id="graph",
        conn_type="nebula_explorer",
        host=fields.get("host"),
        port=fields.get("port"),
        schema=fields.get("schema"),
        login=fields.get("login"),
        password=PASSWORD,
        extra_dejson=extra,
    )
    try:
        read = read_connection(connection)
    except NebulaExplorerConfigError as error:
        secret = () if isinstance(extra, dict) and any(PASSWORD in key for key in extra) else (PASSWORD,)
        _check_text(str(error), *secret)
        return
    unknown_extras(connection)
    _check_settings(read)
    if read.base_url.isascii():
        again = SimpleNamespace(
            **{**connection.__dict__, "host": read.base_url, "port": None, "schema": None}
        )
        assert read_connection(again).base_url.lower() == read.base_url.lower()


def _check_settings(read: Settings) -> None:
    _check_base_url(read.base_url)
    _check_request(api.connect(read.account, "json").request)
    _check_request(api.connect(read.account, "colon").request)
    assert urlsplit(read.job_link(1, 2)).scheme in {"http", "https"}
    assert read.job_link(1, 2).isprintable()
    assert type(read.timeout) is float
    assert 0 < read.timeout <= 3600
    if read.proxy:
        assert read.proxy.isprintable()
        if read.proxy.isascii():  # other names are errors when the client is opened or used
            assert urllib3.util.parse_url(read.proxy).host
            httpx.Proxy(read.proxy)


def _check_base_url(base_url: str) -> None:
    found = re.fullmatch(
        r"https?://(\[[0-9a-f:.]+(%[\w.~-]+)?\]|[^][/?#@:\\%\s]+)(:[0-9]+)?((?:/[^/?#\\\s]+)*)", base_url
    )
    assert found, base_url
    prefix = found[4]
    assert not {".", ".."} & set(prefix.lower().replace("%2e", ".").split("/")), base_url
    url = f"{base_url}{ROOT}/jobs/1"
    with contextlib.suppress(httpx.InvalidURL):
        assert httpx.URL(url).raw_path.decode() == f"{prefix}{ROOT}/jobs/1"
    with contextlib.suppress(requests.RequestException):
        assert requests.Request("GET", url).prepare().path_url == f"{prefix}{ROOT}/jobs/1"


PARSERS = (
    arguments.parse_id,
    arguments.parse_task_id,
    arguments.parse_status,
    arguments.parse_statuses,
    arguments.parse_milliseconds,
    arguments.parse_text,
    arguments.parse_count,
    arguments.parse_seconds,
)


def any_argument_is_taken_or_refused(value: Any) -> None:
    """An argument becomes a value or an error in words, and can add nothing to a path but digits."""
    for parse in PARSERS:
        _refused_in_words(parse, "name", value)
    for make in (api.get_job, api.cancel_job, api.add_job):
        call = _refused_in_words(make, value)
        if call is not None:
            assert re.fullmatch(
                r"/api-open/v1/(jobs|workflows)/[0-9]{1,20}(/jobs|/cancel)?", call.request.target
            )
            assert str(int(value)) in call.request.target
    for make in (
        lambda: api.add_job(1, value),
        lambda: api.get_task_result(1, value),
        lambda: api.get_task_result(1, TASK_ID, value),
        lambda: api.list_jobs(value, {}, 1, 10),
        *(lambda name=name: api.list_jobs(1, api.job_filter(**{name: value}), 1, 10) for name in FILTERS),
    ):
        call = _refused_in_words(make)
        if call is not None:
            _check_request(call.request)
            (call.request.body or b"").decode()


FILTERS = ("name", "status", "created_after", "created_before", "order")


def _refused_in_words(make: Any, *values: Any) -> Any:
    try:
        return make(*values)
    except NebulaExplorerConfigError as error:
        _check_text(str(error))
    return None
