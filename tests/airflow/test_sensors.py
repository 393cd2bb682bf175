# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import airflow
import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from deferral import run_to_its_end

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerJobError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.links.nebula_explorer import NebulaExplorerJobLink
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)

MODES = ["poke", "reschedule", "deferrable"]


@pytest.fixture(params=MODES)
def wait(request, context, ti, monkeypatch):
    """Run a sensor to its end in each mode; a rescheduled one is a new object at each poll."""
    how = {"deferrable": True} if request.param == "deferrable" else {"mode": request.param}
    begun = datetime.now(timezone.utc)
    ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.max_tries, ti.try_number = "d", "t", "r", -1, 0, 1
    ti.get_first_reschedule_date = lambda context: begun
    if airflow.__version__.startswith("2."):  # looks it up in its database
        monkeypatch.setattr("airflow.sensors.base._orig_start_date", lambda **_: begun)

    def wait(sensor, **arguments):
        arguments = {"task_id": "t", "poke_interval": 0.01, **how, **arguments}
        while True:
            try:
                return run_to_its_end(lambda: sensor(**arguments), context)
            except AirflowRescheduleException:
                assert request.param == "reschedule"

    return wait


def job_sensor(wait, **arguments):
    return wait(NebulaExplorerJobSensor, **arguments)


class TestJobSensor:
    def test_it_waits_for_success_and_returns_the_apis_object(self, emulator, wait, ti):
        job_id = emulator.start_job(5, plan=JobPlan(preparing=3, running=9))
        assert job_sensor(wait, job_id=str(job_id)) == emulator.job(job_id)
        assert emulator.count("get_job") > 2
        page = f"{emulator.url}/"
        assert ti.xcoms == {NebulaExplorerJobLink.xcom_key: page, "job_url": page}

    @pytest.mark.parametrize("ends", ["FAILED", "INTERRUPTED"])
    def test_another_end_fails_for_good_and_is_both_kinds_of_error(self, emulator, wait, ends):
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends=ends))
        with pytest.raises(
            NebulaExplorerJobError, match=f"Job {job_id} .* ended {ends}, not SUCCESS"
        ) as raised:
            job_sensor(wait, job_id=job_id)
        assert isinstance(raised.value, AirflowFailException)
        assert raised.value.job.data == emulator.job(job_id)
        assert raised.value.url == f"{emulator.url}/"
        assert "pagerank_1" in str(raised.value)

    @pytest.mark.parametrize("targets", [("failed", 4), [JobStatus.FAILED], "FAILED"])
    def test_targets_may_be_any_statuses(self, emulator, wait, targets):
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        assert job_sensor(wait, job_id=job_id, target_statuses=targets)["status"] == 3

    def test_a_target_need_not_be_final(self, emulator, wait):
        job_id = emulator.start_job(5, plan=JobPlan(preparing=3, running=1000))
        assert job_sensor(wait, job_id=job_id, target_statuses=["RUNNING"])["status"] == 1

    def test_a_final_success_outside_the_targets_fails(self, emulator, wait):
        job_id = emulator.start_job(5, plan=JobPlan(running=0))
        with pytest.raises(NebulaExplorerJobError, match="ended SUCCESS, not FAILED or INTERRUPTED"):
            job_sensor(wait, job_id=job_id, target_statuses=("FAILED", "INTERRUPTED"))

    def test_soft_fail_skips(self, emulator, wait):
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        with pytest.raises(AirflowSkipException):
            job_sensor(wait, job_id=job_id, soft_fail=True)

    def test_it_times_out_as_every_sensor(self, emulator, wait):
        job_id = emulator.start_job(5, plan=JobPlan(running=1000))
        with pytest.raises(AirflowSensorTimeout):
            job_sensor(wait, job_id=job_id, timeout=0.2)
        with pytest.raises(AirflowSkipException):
            job_sensor(wait, job_id=job_id, timeout=0.1, soft_fail=True)

    def test_failed_polls_delay_the_wait_but_do_not_fail_it(self, explorer, emulator, wait):
        explorer.set_connection(extra={"max_consecutive_failures": 4})
        job_id = emulator.start_job(5, plan=JobPlan(running=9))
        emulator.fail(
            Fault("status", "get_job", times=2),
            Fault("html", "get_job", after=1, times=2),
            Fault("status", "connect"),
        )
        assert job_sensor(wait, job_id=job_id) == emulator.job(job_id)

    def test_too_many_failed_polls_in_a_row_end_the_wait_in_every_mode(self, explorer, emulator, wait):
        explorer.set_connection(extra={"max_consecutive_failures": 3})
        emulator.fail(Fault("status", "get_job", times=None))
        with pytest.raises(
            NebulaExplorerConnectionError, match="Cannot observe job 7: 3 polls in a row"
        ) as raised:
            job_sensor(wait, job_id=7)
        assert not isinstance(raised.value, NebulaExplorerJobError)
        assert emulator.count("get_job") == 3

    def test_failed_polls_do_not_outlast_the_timeout(self, explorer, emulator, wait):
        explorer.set_connection(extra={"max_consecutive_failures": 1000})
        emulator.fail(Fault("status", "get_job", times=None))
        with pytest.raises(AirflowSensorTimeout):
            job_sensor(wait, job_id=7, timeout=0.2)

    @pytest.mark.parametrize(
        ("soft_fail", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)]
    )
    def test_nor_when_the_task_was_never_rescheduled(self, explorer, emulator, wait, ti, soft_fail, error):
        explorer.set_connection(extra={"max_consecutive_failures": 1000})
        ti.get_first_reschedule_date = lambda context: None
        emulator.fail(Fault("status", "get_job", times=None))
        with pytest.raises(error):
            job_sensor(wait, job_id=7, timeout=0.2, soft_fail=soft_fail)

    def test_a_job_that_is_not_there_is_an_error_at_once(self, emulator, wait):
        with pytest.raises(NebulaExplorerNotFoundError):
            job_sensor(wait, job_id=7)
        assert emulator.count("get_job") == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"job_id": "../1"},
            {"job_id": 1, "target_statuses": ["done"]},
            {"job_id": 1, "target_statuses": []},
        ],
    )
    def test_wrong_arguments_are_refused_before_any_request(self, emulator, wait, wrong):
        with pytest.raises(NebulaExplorerConfigError, match=" is .*; allowed: "):
            job_sensor(wait, **wrong)
        assert emulator.count() == 0

    def test_an_unknown_status_is_waited_on(self, emulator, wait, caplog):
        job_id = emulator.start_job(5, plan=JobPlan(running=9, runs_as=9))
        assert job_sensor(wait, job_id=job_id) == emulator.job(job_id)
        assert any("Status 9 is unknown" in record.getMessage() for record in caplog.records)

    def test_a_poking_sensor_logs_in_once_and_shows_the_link_once(self, emulator, context, ti, monkeypatch):
        shown = []
        monkeypatch.setattr(ti, "xcom_push", lambda key, value: shown.append(key))
        job_id = emulator.start_job(5, plan=JobPlan(running=9))
        sensor = NebulaExplorerJobSensor(task_id="t", job_id=job_id, poke_interval=0.02)
        sensor.execute(context)
        assert (emulator.logins, emulator.connections) == (1, 1)
        assert shown == [NebulaExplorerJobLink.xcom_key, "job_url"]
        sensor.execute(context)
        assert len(shown) == 4, "Airflow clears the XComs of a task that it runs again"

    def test_a_sensor_leaves_no_connection_open(self, emulator, context):
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        sensor = NebulaExplorerJobSensor(task_id="t", job_id=job_id)
        closed = []
        close = sensor.hook.close
        sensor.hook.close = lambda: closed.append(close())
        with pytest.raises(NebulaExplorerJobError):
            sensor.execute(context)
        assert closed


class TestWorkflowSensor:
    @pytest.fixture
    def since(self, emulator, context):
        due = datetime.fromtimestamp(emulator.now(), timezone.utc) + timedelta(hours=23)
        context["data_interval_end"] = due
        return due - timedelta(days=1)

    def test_it_waits_for_a_success_of_the_run_whoever_started_the_job(self, emulator, wait, since, ti):
        earlier = since.timestamp() - 10
        emulator.start_job(5, created=earlier, plan=JobPlan(running=0))
        emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        emulator.start_job(6, plan=JobPlan(running=0))
        job_id = emulator.start_job(5, plan=JobPlan(running=9))
        got = wait(NebulaExplorerWorkflowSensor, workflow_id="5")
        assert got == emulator.job(job_id)
        assert got["tasks"], "details, not an item of a list"
        page = f"{emulator.url}/"
        assert ti.xcoms == {NebulaExplorerJobLink.xcom_key: page, "job_url": page}

    def test_the_first_of_several_counts(self, emulator, wait, since):
        first = emulator.start_job(5, created=since.timestamp(), plan=JobPlan(running=0))
        emulator.start_job(5, plan=JobPlan(running=0))
        assert wait(NebulaExplorerWorkflowSensor, workflow_id=5)["id"] == first

    def test_a_name_and_a_time_can_be_given(self, emulator, wait):
        emulator.start_job(5, plan=JobPlan(running=0), name="other")
        old = emulator.start_job(5, created=emulator.now() - 9000, plan=JobPlan(running=0), name="nightly")
        since = datetime.fromtimestamp(emulator.now() - 9001, timezone.utc)
        got = wait(
            NebulaExplorerWorkflowSensor, workflow_id=5, name="nightly", created_after=since.isoformat()
        )
        assert got["id"] == old

    @pytest.mark.parametrize("given", ["run_after", "data_interval_end", "logical_date"])
    def test_the_default_is_a_day_before_the_run_was_due(self, emulator, context, wait, given):
        moment = datetime(2022, 7, 13, 2, 33, 32, 505999, tzinfo=timezone.utc)
        later = moment + timedelta(days=1)
        # A clear moves start_date alone. Airflow 2 has no run_after.
        context["dag_run"] = SimpleNamespace(start_date=later, **{given: moment})
        if given != "run_after":
            context["logical_date"] = moment if given == "logical_date" else later
        if given == "data_interval_end":
            context["data_interval_end"] = moment
        emulator.start_job(5, plan=JobPlan(running=0))
        wait(NebulaExplorerWorkflowSensor, workflow_id=5)
        (call,) = [call for call in emulator.calls if call.endpoint == "list_workflow_jobs"]
        assert '"fromCreateTime":1657593212505' in call.query["filter"]
        assert '"status":2' in call.query["filter"]

    @pytest.mark.parametrize(
        ("given", "milliseconds"),
        [
            ("2022-07-12", 1657555200000),
            ("2022-07-12T02:33:32.505", 1657564412505),
            ("2022-07-12T02:33:32.505Z", 1657593212505),
            (datetime(2022, 7, 12, 2, 33, 32, 505999, tzinfo=timezone.utc), 1657593212505),
        ],
        ids=str,
    )
    def test_a_text_without_an_offset_is_in_the_dags_time_zone(
        self, emulator, context, wait, given, milliseconds
    ):
        context["dag"] = SimpleNamespace(timezone=timezone(timedelta(hours=8)))
        emulator.start_job(5, plan=JobPlan(running=0))
        wait(NebulaExplorerWorkflowSensor, workflow_id=5, created_after=given)
        (call,) = [call for call in emulator.calls if call.endpoint == "list_workflow_jobs"]
        assert f'"fromCreateTime":{milliseconds}' in call.query["filter"]

    def test_a_failed_job_fails_it_if_that_is_requested(self, emulator, wait, since):
        emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends="INTERRUPTED"))
        emulator.start_job(5, plan=JobPlan(running=1000))
        with pytest.raises(NebulaExplorerJobError, match=f"Job {job_id} .* ended INTERRUPTED") as raised:
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, fail_on_failed_job=True)
        assert isinstance(raised.value, AirflowFailException)
        assert raised.value.url == f"{emulator.url}/"

    def test_a_success_outdoes_failed_jobs_and_older_ones_do_not_count(self, emulator, wait, since):
        failed = JobPlan(running=0, ends="FAILED")
        emulator.start_job(5, created=since.timestamp() - 10, plan=failed)
        job_id = emulator.start_job(5, plan=JobPlan(running=9))
        got = wait(NebulaExplorerWorkflowSensor, workflow_id=5, fail_on_failed_job=True)
        assert got["id"] == job_id
        emulator.start_job(5, plan=failed)
        assert wait(NebulaExplorerWorkflowSensor, workflow_id=5, fail_on_failed_job=True)["id"] == job_id

    @pytest.mark.parametrize(
        ("soft_fail", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)]
    )
    def test_its_timeout_names_what_it_wanted_and_what_there_was(
        self, emulator, wait, since, soft_fail, error
    ):
        old = emulator.start_job(5, created=since.timestamp() - 10, plan=JobPlan(running=0))
        failed = emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        with pytest.raises(error, match="Sensor has timed out") as raised:
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, timeout=0.3, soft_fail=soft_fail)
        text = str(raised.value)
        assert f"No job of workflow 5, created at {since} or later, has succeeded." in text
        assert re.search(rf"newest jobs: Job {failed} .*, FAILED; Job {old} .*, SUCCESS\.$", text)

    def test_its_timeout_names_the_end_of_the_window_too(self, emulator, wait, since):
        with pytest.raises(AirflowSensorTimeout) as raised:
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, created_before=timedelta(0), timeout=0.3)
        due = since + timedelta(days=1)
        text = f"No job of workflow 5, created at {since} or later and at {due} or before, has succeeded."
        assert text in str(raised.value)

    @pytest.mark.parametrize("days_ago", [0, 2])
    def test_a_window_that_is_over_is_logged(self, emulator, wait, since, caplog, days_ago):
        caplog.set_level("INFO")
        due = timedelta(days=days_ago)  # back from a time that is 23 hours ahead
        with pytest.raises(AirflowSensorTimeout):
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, created_before=due, timeout=0.3)
        assert (
            f"created_before, {since - timedelta(days=1)}, is past: only jobs that exist" in caplog.text
        ) is (days_ago > 0)

    def test_its_timeout_stays_one_if_the_jobs_cannot_be_listed(self, explorer, emulator, wait, since):
        explorer.set_connection(extra={"max_consecutive_failures": 1000})
        emulator.fail(Fault("status", "list_workflow_jobs", times=None))
        with pytest.raises(AirflowSensorTimeout, match=r"has succeeded\.$"):
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, timeout=0.3)

    def test_its_timeout_lists_the_jobs_in_one_try(self, emulator, context, since):
        emulator.fail(Fault("status", "list_workflow_jobs", times=None))
        sensor = NebulaExplorerWorkflowSensor(task_id="t", workflow_id=5)
        with pytest.raises(AirflowSensorTimeout, match=r"has succeeded\.$"):
            sensor.execute_complete(context, {"workflow_id": 5, "timed_out": "timeout"})
        assert emulator.count("list_workflow_jobs") == 1

    def test_its_timeout_stays_one_if_the_connection_is_gone(self, emulator, wait, since, monkeypatch):
        def list_jobs(*args, **kwargs):
            raise RuntimeError("the secrets backend is down")

        monkeypatch.setattr(NebulaExplorerHook, "list_jobs", list_jobs)
        with pytest.raises(AirflowSensorTimeout, match=r"has succeeded\.$"):
            wait(NebulaExplorerWorkflowSensor, workflow_id=5, timeout=0.3)

    def test_failed_polls_in_a_row_end_it_too(self, explorer, emulator, wait, since):
        explorer.set_connection(extra={"max_consecutive_failures": 2})
        emulator.fail(Fault("status", "list_workflow_jobs", times=None))
        with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe workflow 5: 2 polls"):
            wait(NebulaExplorerWorkflowSensor, workflow_id=5)
        assert emulator.count("list_workflow_jobs") == 2

    @pytest.mark.parametrize(
        "wrong",
        [
            {"workflow_id": "x"},
            {"workflow_id": 5, "created_after": "yesterday"},
            {"workflow_id": 5, "created_before": "tomorrow"},
        ],
    )
    def test_wrong_arguments_are_refused_before_any_request(self, emulator, wait, since, wrong):
        with pytest.raises(NebulaExplorerConfigError, match=" is .*; allowed: "):
            wait(NebulaExplorerWorkflowSensor, **wrong)
        assert emulator.count() == 0


@pytest.mark.parametrize(
    ("sensor", "arguments"),
    [(NebulaExplorerJobSensor, {"job_id": 1}), (NebulaExplorerWorkflowSensor, {"workflow_id": 1})],
)
class TestBothSensors:
    def test_they_take_what_every_sensor_takes(self, sensor, arguments):
        task = sensor(
            task_id="t",
            poke_interval=5,
            timeout=60,
            mode="reschedule",
            soft_fail=True,
            exponential_backoff=True,
            **arguments,
        )
        assert (task.poke_interval, task.timeout, task.mode, task.soft_fail) == (5, 60, "reschedule", True)

    def test_without_a_poke_interval_the_polls_follow_the_age_of_the_wait(self, sensor, arguments):
        task = sensor(task_id="t", **arguments)
        assert (task.poll_interval, task.longest_interval, task.poke_interval) == (None, 60, 60)

    @pytest.mark.parametrize("given", [7, timedelta(seconds=7), 60])
    def test_a_poke_interval_is_obeyed_whoever_sets_it(self, sensor, arguments, given):
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        assert sensor(task_id="t", poke_interval=given, **arguments).poll_interval == seconds
        with DAG("d", schedule=None, default_args={"poke_interval": given}):
            assert sensor(task_id="t", **arguments).poll_interval == seconds

    def test_one_that_a_policy_sets_is_obeyed(self, sensor, arguments):
        task = sensor(task_id="t", **arguments)
        task.poke_interval = 9
        assert task.poll_interval == 9

    @pytest.mark.parametrize(
        ("how", "pauses"),
        [
            ({}, [1, 1]),
            ({"poke_interval": 5}, [5, 5]),
            ({"mode": "reschedule"}, [60, 60]),
            ({"exponential_backoff": True, "max_wait": 0.5}, [0.5, 0.5]),
        ],
    )
    def test_the_pauses_of_a_sensor_in_a_worker(self, sensor, arguments, emulator, context, how, pauses):
        context["logical_date"] = datetime(2022, 1, 1, tzinfo=timezone.utc)
        job_id = emulator.start_job(1, plan=JobPlan(running=3600))
        task = sensor(task_id="t", dag=DAG("d", schedule=None), **how, **dict.fromkeys(arguments, job_id))
        if "workflow_id" in arguments:
            task.workflow_id = 1
        task.poke(context)
        assert [task._get_next_poke_interval(0.0, lambda: 0.0, poke) for poke in (1, 2)] == pauses
        task._close()

    def test_constructing_one_uses_no_template(self, sensor, arguments):
        templates = dict.fromkeys(arguments, "{{ not.rendered }}")
        task = sensor(task_id="t", nebula_explorer_conn_id="{{ conn }}", **templates)
        assert {"nebula_explorer_conn_id", *arguments} <= set(task.template_fields)

    def test_poke_alone_works(self, sensor, arguments, emulator, context):
        context["logical_date"] = datetime(2022, 1, 1, tzinfo=timezone.utc)
        job_id = emulator.start_job(1, plan=JobPlan(running=0))
        task = sensor(task_id="t", **{"job_id": job_id} if "job_id" in arguments else arguments)
        assert task.poke(context).xcom_value == emulator.job(job_id)
        task._close()
