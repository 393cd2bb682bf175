# SPDX-License-Identifier: Apache-2.0
"""One login for all tasks that share a state_dir, and what the option and the field may be."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest
from deferral import run_to_its_end

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.hooks.state_dir import state_dir
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerGetJobOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor

OPTION = "AIRFLOW__NEBULA_EXPLORER__STATE_DIR"


@pytest.fixture
def folder():
    """The folder of this test."""
    return Path(os.environ[OPTION])


def get_job(context, job_id):
    return NebulaExplorerGetJobOperator(task_id="t", job_id=job_id).execute(context)


def test_tasks_make_one_login_and_one_more_when_explorer_has_restarted(context, emulator, folder):
    job_id = emulator.start_job(5)
    for _ in range(5):
        assert get_job(context, job_id)["id"] == job_id
    assert emulator.logins == 1
    emulator.forget_sessions()
    for _ in range(5):
        get_job(context, job_id)
    assert emulator.logins == 2
    assert {path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())} == {0o700, 0o600}


def test_polls_of_a_rescheduled_sensor_make_one_login(context, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    for number in range(20):
        if number == 10:
            emulator.forget_sessions()
        sensor = NebulaExplorerJobSensor(task_id="t", job_id=job_id, mode="reschedule")
        assert not sensor.poke(context)
    assert emulator.logins == 2


def test_a_deferred_wait_shares_the_login_of_the_worker(context, emulator):
    emulator.plan(5, JobPlan(running=0.2))

    def make_task():
        return NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, deferrable=True, poll_interval=0.1
        )

    assert run_to_its_end(make_task, context)
    assert emulator.logins == 1


def test_a_connection_that_shares_no_login_makes_its_own(context, explorer, folder):
    job_id = explorer.emulator.start_job(5)
    for text in ("false", False):
        explorer.set_connection(extra={"share_login": text})
        get_job(context, job_id)
    assert explorer.emulator.logins == 2
    assert not folder.exists()


@pytest.mark.parametrize("value", ["maybe", 1, "1", [], "no"])
def test_a_wrong_value_is_an_error_before_anything_is_sent(explorer, value):
    explorer.set_connection(extra={"share_login": value})
    with pytest.raises(NebulaExplorerConfigError, match="share_login is .*; allowed: true or false"):
        NebulaExplorerHook().get_job(1)
    assert explorer.emulator.count() == 0


@pytest.mark.parametrize("value", ["true", "True", "", True, None])
def test_the_login_is_shared_unless_the_connection_says_no(explorer, value):
    explorer.set_connection(extra={"share_login": value})
    assert NebulaExplorerHook().settings.share_login


def test_a_test_of_the_connection_asks_explorer_itself(context, emulator, folder):
    job_id = emulator.start_job(5)
    assert NebulaExplorerHook().test_connection()[0]
    assert not folder.exists()
    get_job(context, job_id)
    assert NebulaExplorerHook().test_connection()[0]
    assert emulator.logins == 3
    emulator.fail(Fault("code", "connect", code=40004000, times=None))
    for number in range(2):
        assert not NebulaExplorerHook().test_connection()[0]
        assert emulator.count("connect") == 5 + 2 * number


def test_the_folder_is_below_airflow_home_unless_the_option_says_otherwise(monkeypatch, tmp_path):
    assert state_dir() == str(tmp_path / "state")
    monkeypatch.delenv(OPTION)
    assert state_dir() == str(Path(os.environ["AIRFLOW_HOME"]) / "nebula_explorer")
    monkeypatch.setenv(OPTION, "~/elsewhere")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_dir() == "/home/somebody/elsewhere"
    monkeypatch.setenv(OPTION, "")
    assert state_dir() == ""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: "", "it is not an absolute path"),
        (lambda path: "state", "it is not an absolute path"),
        (lambda path: path / "missing" / "state", "the folder above it does not exist"),
        (lambda path: Path(__file__), "it is not a folder"),
    ],
    ids=["empty", "relative", "below no folder", "file"],
)
def test_an_option_that_cannot_be_used_is_one_warning_and_tasks_go_on(
    context, emulator, monkeypatch, tmp_path, caplog, make, reason
):
    monkeypatch.setenv(OPTION, str(make(tmp_path)))
    monkeypatch.chdir(tmp_path)
    job_id = emulator.start_job(5)
    for _ in range(2):
        assert get_job(context, job_id)["id"] == job_id
    assert emulator.logins == 2
    warnings = [message for message in caplog.messages if "state_dir" in message]
    assert len(warnings) <= 1, "once in a process, and other tests share this one"
    assert not [message for message in warnings if reason not in message]
    assert list(tmp_path.iterdir()) == []


def test_airflow_knows_the_option(folder):
    from airflow_provider_nebula_explorer.provider_info import get_provider_info

    (option,) = get_provider_info()["config"]["nebula_explorer"]["options"]
    assert f"AIRFLOW__NEBULA_EXPLORER__{option.upper()}" == OPTION


def poke(sensor, context):
    return sensor(mode="poke").execute(context)


def reschedule(sensor, context):
    task = sensor(mode="reschedule")
    while not (polled := task.poke(context)).is_done:
        time.sleep(task.poke_interval)
    return polled.xcom_value


def defer(sensor, context):
    return run_to_its_end(lambda: sensor(deferrable=True), context)


@pytest.mark.parametrize("wait", [poke, reschedule, defer])
def test_no_room_for_a_login_is_a_failed_poll_the_first_one_included(context, monkeypatch, caplog, wait):
    with Emulator(max_clients=1, client_idle=1.5) as full:
        extra = {"nebula_address": "graphd", "max_retries": 0, "max_consecutive_failures": 1000}
        connection = {**json.loads(full.airflow_connection), "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", json.dumps(connection))
        assert NebulaExplorerHook().test_connection()[0], "somebody else takes the only place"
        job_id = full.start_job(5, plan=JobPlan(running=0))
        sensor = partial(NebulaExplorerJobSensor, task_id="t", job_id=job_id, poke_interval=0.2)
        assert wait(sensor, context)["id"] == job_id
        refused = full.count("connect") - full.logins
        assert (full.logins, full.most_clients) == (2, 1)
    assert refused >= 2
    texts = [message for message in caplog.messages if "will poll again" in message]
    # A trigger logs to its task, by a logger of Airflow's.
    assert len(texts) == (1 if wait is defer else refused), "one request for each poll, in one encoding"
    assert not [text for text in texts if "Explorer has no room for another login" not in text]
