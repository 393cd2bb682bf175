# SPDX-License-Identifier: Apache-2.0
"""Nothing that Airflow stores or logs contains a password or a token, even at DEBUG."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest
from everything import (
    MISPLACED,
    OTHER_PASSWORD,
    PASSWORD,
    PLANTED,
    PROXY_PASSWORD,
    REFUSED,
    Everything,
    everything_at_debug,
)
from runs import needs_33
from traces import find, spellings, spellings_of_password, spellings_of_token

from airflow_provider_nebula_explorer.emulator.api import ENDPOINTS
from airflow_provider_nebula_explorer.operators import nebula_explorer as operators
from airflow_provider_nebula_explorer.sensors import nebula_explorer as sensors

pytestmark = needs_33

TASKS = "file logs/dag_id=every_class/run_id=at_debug"

ENDS = {
    "success": {
        "call_every_method",
        "cancel",
        "get_task_result",
        "is_cleared",
        "list_jobs",
        "meet_every_refusal",
        "run",
        "run_deferred",
        "start",
        "try_again",
        "wait_deferred",
        "wait_for_any_deferred",
        "wait_rescheduled",
        "wait_without_worker",
    },
    "failed": {
        "response_is_lost",
        "explorer_echoes_token",
        "explorer_echoes_token_in_triggerer",
        "is_marked_failed",
        "job_fails",
        "login_is_refused",
        "login_is_refused_in_triggerer",
        "no_such_workflow",
        "out_of_time",
        "out_of_time_deferred",
        "plant",
        "plant_in_trigger",
        "sensor_out_of_time",
    },
    "skipped": {"job_is_interrupted"},
}


@pytest.fixture(scope="module")
def everything() -> Iterator[Everything]:
    with everything_at_debug() as everything:
        yield everything


@pytest.mark.parametrize(
    "password", [PASSWORD, OTHER_PASSWORD, PROXY_PASSWORD], ids=["Explorer's", "a wrong one", "the proxy's"]
)
def test_no_password_is_found_anywhere(everything, password):
    assert find(spellings_of_password("root", password), everything.places) == []


def test_no_token_is_found_anywhere(everything):
    assert len(everything.tokens) > 20
    needles = [spellings_of_token(token) for token in everything.tokens]
    assert [trace for needle in needles for trace in find(needle, everything.places)] == []


def test_the_folder_of_shared_logins_was_searched(everything):
    shared = [place for place in everything.places if place.startswith("file nebula_explorer/")]
    assert {place.rpartition(".")[2] for place in shared} == {"lock", "login", "refusal", "swept"}


def test_a_password_in_a_wrong_field_is_shown_by_airflow_itself_alone(everything):
    shown_by_airflow = (
        r"database connection\.(host|schema)|database log\.extra|response /(connections|eventLogs)"
    )
    places = {
        place: text
        for place, text in everything.places.items()
        if not re.fullmatch(rf"{shown_by_airflow}|file airflow\.db.*", place)
    }
    assert find(spellings_of_password("root", MISPLACED), places) == []


@pytest.mark.parametrize(
    "place",
    [
        f"{TASKS}/task_id=plant/attempt=1.log",
        "file scheduler.log",
        "file triggerer.log",
        "file lineage.json",
        "file airflow.db",
        "process cmdline",
        "process environ",
        "database xcom.value",
        "database dag_run.conf",
        "database rendered_task_instance_fields.rendered_fields",
        "database trigger.kwargs, for a while",
        "response taskInstances",
        "response /dags/every_class/dagRuns/at_debug/taskInstances/plant/logs/1",
    ],
)
def test_the_search_finds_what_is_planted(everything, place):
    assert find(spellings(PLANTED), {place: everything.places[place]})


def test_the_search_finds_every_spelling_of_what_is_planted(everything):
    found = {trace.spelling for trace in find(spellings(PLANTED), everything.places)}
    in_base64 = {f"base64, {shift}" for shift in range(3)}
    escaped = {"JSON", "ASCII JSON", "JSON in JSON", "repr", "escaped", "in a path", "in a query", "HTML"}
    assert found >= {"as it is", "hex", *in_base64, *escaped}


@pytest.mark.parametrize(
    ("logger", "place"),
    [
        ('"level":"debug",.*"logger":"urllib3.connectionpool"', f"{TASKS}/task_id=run/attempt=1.log"),
        (r"debug .*\[httpcore.connection\]", "file triggerer.log"),
        (r"debug .*\[httpcore.http11\]", "file triggerer.log"),
        (r"debug .*\[asyncio\]", "file triggerer.log"),
    ],
)
def test_http_libraries_log_at_debug(everything, logger, place):
    assert re.search(logger.encode(), everything.places[place])


def test_every_task_ends_as_it_should(everything):
    ends = {name: state for state, names in ENDS.items() for name in names}
    assert {name: task["state"] for name, task in everything.tasks().items()} == ends


def test_every_operator_and_sensor_ran(everything):
    classes = {
        name
        for module in (operators, sensors)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and hasattr(kind, "template_fields") and name[0] != "_"
    }
    assert len(classes) == 7
    assert classes <= {task["operator_name"] for task in everything.tasks().values()}


def test_every_call_was_made(everything):
    assert [name for name in ENDPOINTS if name != "unknown" and not everything.explorer.count(name)] == []


def test_a_sensor_ran_without_a_worker(everything):
    logs = [place for place in everything.places if "task_id=wait_without_worker/" in place]
    assert logs
    assert all(".log.trigger." in place for place in logs if place.startswith("file "))


@pytest.mark.parametrize("connection", dict.fromkeys(REFUSED))
def test_every_trouble_was_met(everything, connection):
    log = everything.places[f"{TASKS}/task_id=meet_every_refusal/attempt=1.log"]
    assert f"{connection}: NebulaExplorer".encode() in log
