# SPDX-License-Identifier: Apache-2.0
"""Every way to wait ends alike: same XComs, same exception, same text."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import airflow
import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from deferral import run_to_its_end
from stand_ins import TaskInstance

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerJobError
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)

NEVER = 1e9
PLANS = {
    0: JobPlan(preparing=NEVER),
    1: JobPlan(ends=None),
    2: JobPlan(running=4),
    3: JobPlan(running=4, ends="FAILED"),
    4: JobPlan(running=4, ends="INTERRUPTED"),
    5: JobPlan(ends=None, stopping=NEVER),
    9: JobPlan(ends=None, runs_as=9),
}
"""How a job goes that comes to a status and stays there."""

FINAL = (2, 3, 4)
MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}


@pytest.fixture(autouse=True)
def airflows_own(context, ti, monkeypatch):
    """What Airflow's own code for rescheduled sensors needs."""
    ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.max_tries, ti.try_number = "d", "t", "r", -1, 0, 1
    ti.get_first_reschedule_date = lambda context: ti.begun
    if airflow.__version__.startswith("2."):
        monkeypatch.setattr("airflow.sensors.base._orig_start_date", lambda **_: ti.begun)
    context["data_interval_end"] = datetime.now(timezone.utc)


def outcome(make_task, context, ti):
    """Return what is left of a task: its value or its exception in words, and its XComs."""
    ti.xcoms.clear()
    ti.begun = datetime.now(timezone.utc)
    while True:
        try:
            return "returned", run_to_its_end(make_task, context), dict(ti.xcoms)
        except AirflowRescheduleException:
            continue
        except Exception as error:
            text = re.sub(r"run duration of [\d.e-]+ seconds", "run duration of … seconds", str(error))
            text = re.sub(r"(newest jobs: .*), [A-Z]+\.$", r"\1, ….", text)  # each request moves the clock on
            return type(error), text, dict(ti.xcoms)


def of_a_new_task():
    ti = TaskInstance()
    return {"ti": ti, "task_instance": ti}, ti


def outcomes(sensor, context, ti, **arguments):
    """Return how a sensor ends in each mode."""
    return {
        mode: outcome(
            lambda how=how: sensor(task_id="t", **{"poke_interval": 0.01, **how, **arguments}), context, ti
        )
        for mode, how in MODES.items()
    }


def a_job_in(emulator, status):
    job_id = emulator.start_job(5, plan=PLANS[status])
    if status == 5:
        emulator.cancel(job_id)
    return job_id


@pytest.mark.parametrize("status", PLANS)
class TestJobSensor:
    @pytest.mark.parametrize("soft_fail", [False, True])
    def test_a_wait_for_success(self, emulator, context, ti, status, soft_fail):
        job_id = a_job_in(emulator, status)
        if status not in FINAL:
            arguments = {"timeout": 0.3}
            expected = AirflowSkipException if soft_fail else AirflowSensorTimeout
        else:
            arguments = {}
            expected = {2: "returned"}.get(status, AirflowSkipException if soft_fail else None)
        ends = outcomes(NebulaExplorerJobSensor, context, ti, job_id=job_id, soft_fail=soft_fail, **arguments)
        assert ends["poke"] == ends["reschedule"] == ends["deferrable"]
        kind = ends["poke"][0]
        if expected is None:
            assert issubclass(kind, NebulaExplorerJobError)
            assert issubclass(kind, AirflowFailException)
        else:
            assert kind == expected

    def test_a_wait_for_that_status(self, emulator, context, ti, status):
        job_id = a_job_in(emulator, status)
        ends = outcomes(
            NebulaExplorerJobSensor,
            context,
            ti,
            job_id=job_id,
            target_statuses=[status],
        )
        assert ends["poke"][0] == "returned"
        assert ends["poke"][1]["status"] == status
        assert ends["poke"] == ends["reschedule"] == ends["deferrable"]

    def test_a_wait_for_failure_or_interruption(self, emulator, context, ti, status):
        job_id = a_job_in(emulator, status)
        ends = outcomes(
            NebulaExplorerJobSensor,
            context,
            ti,
            job_id=job_id,
            target_statuses=("FAILED", "INTERRUPTED"),
            timeout=60 if status in FINAL else 0.3,
        )
        assert ends["poke"] == ends["reschedule"] == ends["deferrable"]


@pytest.mark.parametrize(
    "airflows",
    [{}, {"soft_fail": True}, {"never_fail": True}, {"silent_fail": True, "timeout": 0.5}],
    ids=["strict", "soft_fail", "never_fail", "silent_fail"],
)
@pytest.mark.parametrize(
    "trouble",
    [
        (Fault("code", "get_job", code=40404000, times=None),),
        (Fault("code", "get_job", code=50004003, times=None),),
        (Fault("code", "get_job", code=40304000, times=None),),
        (Fault("code", "connect", code=40004000, times=None),),
        (Fault("status", "get_job", times=None),),
        (Fault("html", "get_job", times=None),),
        # The first poll, in a worker, succeeds, and the later ones fail.
        (Fault("code", "get_job", code=40404000, after=1, times=None),),
        (Fault("status", "get_job", after=1, times=None),),
    ],
    ids=["not found", "licence", "forbidden", "account", "503", "html", "not found later", "503 later"],
)
class TestTrouble:
    def test_of_the_job_sensor(self, explorer, context, ti, airflows, trouble):
        explorer.set_connection(extra={"max_consecutive_failures": 3})
        ends = {}
        for mode, how in MODES.items():
            explorer.emulator.clear_faults()
            job_id = explorer.emulator.start_job(5, plan=PLANS[1], name="job")
            explorer.emulator.fail(*trouble)

            def make_task(how=how, job_id=job_id):
                return NebulaExplorerJobSensor(
                    task_id="t", job_id=job_id, **{"poke_interval": 0.01, **how, **airflows}
                )

            kind, text, xcoms = outcome(make_task, context, ti)
            ends[mode] = kind, re.sub(rf"\b{job_id}\b", "<job>", text), xcoms
        assert ends["poke"] == ends["deferrable"]
        if "silent_fail" not in airflows:  # which counts no failed polls over reschedules
            assert ends["poke"] == ends["reschedule"]


def test_a_sensor_that_fails_silently_times_out_in_each_mode(explorer, context, ti):
    explorer.set_connection(extra={"max_consecutive_failures": 2})
    explorer.emulator.fail(Fault("status", "get_job", times=None))
    ends = outcomes(NebulaExplorerJobSensor, context, ti, job_id=7, timeout=0.5, silent_fail=True)
    assert ends["poke"] == ends["reschedule"] == ends["deferrable"]
    assert ends["poke"][0] is AirflowSensorTimeout


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", PLANS)
def test_the_workflow_sensor(emulator, context, ti, status, soft_fail):
    a_job_in(emulator, status)
    ends = outcomes(
        NebulaExplorerWorkflowSensor,
        context,
        ti,
        workflow_id=5,
        soft_fail=soft_fail,
        timeout=3 * (status == 2),
    )
    assert ends["poke"] == ends["reschedule"] == ends["deferrable"]
    kind = AirflowSkipException if soft_fail else AirflowSensorTimeout
    assert ends["poke"][0] == ("returned" if status == 2 else kind)


def test_the_workflow_sensor_leaves_out_what_was_created_after_its_window(emulator, context, ti):
    begin = emulator.now() - 3600
    ids = [
        emulator.start_job(5, created=begin + seconds, plan=JobPlan(running=0)) for seconds in (-1, 60, 120)
    ]
    window = {
        f"created_{end}": datetime.fromtimestamp(begin + seconds, timezone.utc).isoformat()
        for end, seconds in (("after", 0), ("before", 90))
    }
    ends = outcomes(NebulaExplorerWorkflowSensor, context, ti, workflow_id=5, **window)
    assert ends["poke"] == ends["reschedule"] == ends["deferrable"]
    assert ends["poke"][1]["id"] == ids[1]
    window["created_before"] = datetime.fromtimestamp(begin + 30, timezone.utc)
    ends = outcomes(NebulaExplorerWorkflowSensor, context, ti, workflow_id=5, timeout=0.3, **window)
    assert {kind for kind, *_ in ends.values()} == {AirflowSensorTimeout}


@pytest.mark.parametrize("status", FINAL)
def test_the_run_operator(emulator, status):
    emulator.plan(5, PLANS[status])
    ends = []
    for deferrable in (False, True):

        def make_task(deferrable=deferrable):
            return NebulaExplorerRunWorkflowOperator(
                task_id="t", workflow_id=5, poll_interval=0.1, deferrable=deferrable
            )

        kind, result, xcoms = outcome(make_task, *of_a_new_task())
        job = xcoms.pop("job")
        assert xcoms.pop("nebula_explorer_claim")["job_id"] == xcoms.pop("job_id") == job["id"]
        assert job == emulator.job(job["id"])
        text = re.sub(r"\b\w{32}\b", "<task>", str(result)).replace(job["name"], "<name>")
        ends.append((kind, text.replace(str(job["id"]), "<job>"), xcoms))
    assert ends[0] == ends[1]
    assert ends[0][0] == "returned" if status == 2 else issubclass(ends[0][0], NebulaExplorerJobError)


@pytest.mark.parametrize("status", PLANS)
def test_the_cancel_operator(emulator, context, ti, status):
    ends = []
    for deferrable in (False, True):
        plan = JobPlan(ends=None, stopping=4) if status == 5 else PLANS[status]
        job_id = emulator.start_job(5, plan=plan, name="job")
        if status == 5:
            emulator.cancel(job_id)

        def make_task(deferrable=deferrable, job_id=job_id):
            return NebulaExplorerCancelJobOperator(
                task_id="t",
                job_id=job_id,
                wait_for_completion=True,
                poll_interval=0.1,
                deferrable=deferrable,
            )

        kind, result, xcoms = outcome(make_task, context, ti)
        assert result == emulator.job(job_id)
        ends.append((kind, result["status"], xcoms))
    assert ends[0] == ends[1]
    assert ends[0][0] == "returned"


@pytest.mark.parametrize("code", [40404000, 50004003, 40304000])
@pytest.mark.parametrize("first", [0, 1])
def test_trouble_of_the_run_operator(emulator, code, first):
    emulator.plan(5, PLANS[1])
    ends = []
    for deferrable in (False, True):
        emulator.clear_faults()
        emulator.fail(Fault("code", "get_job", code=code, after=first, times=None))

        def make_task(deferrable=deferrable):
            return NebulaExplorerRunWorkflowOperator(
                task_id="t", workflow_id=5, poll_interval=0.1, deferrable=deferrable
            )

        kind, text, xcoms = outcome(make_task, *of_a_new_task())
        assert xcoms.pop("nebula_explorer_claim")["job_id"] == xcoms.pop("job_id") == emulator.jobs[-1]["id"]
        ends.append((kind, re.sub(r"jobs/\d+", "jobs/<job>", text), xcoms))
    assert ends[0] == ends[1]
    assert issubclass(ends[0][0], NebulaExplorerError)
