# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import threading
from datetime import datetime, timedelta, timezone
from functools import partial
from types import SimpleNamespace
from unittest import mock

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException
from stand_ins import CLAIM_KEY, a_claim

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan, TaskPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerConfigError,
    NebulaExplorerJobError,
    NebulaExplorerNotFoundError,
    NebulaExplorerTaskKilledError,
)
from airflow_provider_nebula_explorer.links.nebula_explorer import NebulaExplorerJobLink
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerListJobsOperator,
    NebulaExplorerRunWorkflowOperator,
)

DONE = JobPlan(running=0)
LINK = NebulaExplorerJobLink.xcom_key

ALL = [
    (NebulaExplorerGetJobOperator, {"job_id": 1}),
    (NebulaExplorerListJobsOperator, {}),
    (NebulaExplorerRunWorkflowOperator, {"workflow_id": 5}),
    (NebulaExplorerCancelJobOperator, {"job_id": 1}),
    (NebulaExplorerGetTaskResultOperator, {"job_id": 1, "explorer_task_name": "query_1"}),
]


@pytest.mark.parametrize(("operator", "arguments"), ALL)
def test_constructing_an_operator_reads_no_connection_and_no_argument(operator, arguments):
    arguments = dict.fromkeys(arguments, "{{ not.rendered }}")
    task = operator(task_id="t", nebula_explorer_conn_id="{{ neither.is.this }}", **arguments)
    assert task.nebula_explorer_conn_id == "{{ neither.is.this }}"


@pytest.mark.parametrize("stand_in", [SimpleNamespace, mock.MagicMock])
def test_a_run_in_a_test_by_hand_uses_a_task_instance_for_xcoms_alone(emulator, stand_in):
    emulator.plan(5, DONE)
    xcoms = {}
    context = {"ti": stand_in(xcom_push=lambda key, value: xcoms.update({key: value}))}
    job_id = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5).execute(context)
    assert xcoms["job"]["id"] == job_id


@pytest.mark.parametrize(("operator", "arguments"), ALL)
def test_the_connection_id_and_every_argument_are_templates(operator, arguments):
    assert {"nebula_explorer_conn_id", *arguments} <= set(operator.template_fields)
    assert operator(task_id="t", **arguments).nebula_explorer_conn_id == "nebula_explorer_default"


@pytest.mark.parametrize("missing", [None, "None"])
@pytest.mark.parametrize(("operator", "arguments"), [entry for entry in ALL if "job_id" in entry[1]])
def test_an_id_that_a_failed_task_did_not_return_is_said_to_be_elsewhere(
    emulator, context, operator, arguments, missing
):
    with pytest.raises(NebulaExplorerConfigError, match=r"job_id=run\.output\['job_id'\]"):
        operator(task_id="t", **{**arguments, "job_id": missing}).execute(context)
    assert emulator.count() == 0


@pytest.mark.parametrize("missing", ["not_found", "zero", "no_data"])
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (NebulaExplorerGetJobOperator, {}),
        (NebulaExplorerCancelJobOperator, {}),
        (NebulaExplorerCancelJobOperator, {"wait_for_completion": True}),
        (NebulaExplorerGetTaskResultOperator, {"explorer_task_id": "f" * 32}),
        (NebulaExplorerGetTaskResultOperator, {"explorer_task_name": "query_1"}),
    ],
)
def test_a_job_that_does_not_exist_is_an_error_however_explorer_responds(
    monkeypatch, context, ti, operator, arguments, missing
):
    with Emulator(missing=missing) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", emulator.airflow_connection)
        with pytest.raises(NebulaExplorerNotFoundError):
            operator(task_id="t", job_id=7, **arguments).execute(context)
    assert ti.xcoms == {}


@pytest.mark.parametrize(("operator", "arguments"), [entry for entry in ALL if entry[1]])
def test_a_wrong_id_is_refused_before_any_request(emulator, context, operator, arguments):
    arguments = {name: "1 or 2" if name.endswith("_id") else value for name, value in arguments.items()}
    with pytest.raises(NebulaExplorerConfigError, match="is '1 or 2'; allowed"):
        operator(task_id="t", **arguments).execute(context)
    assert emulator.count() == 0


class TestGetJob:
    def test_it_returns_the_apis_object_with_two_requests(self, emulator, context, ti):
        job_id = emulator.start_job(5, plan=DONE)
        got = NebulaExplorerGetJobOperator(task_id="t", job_id=str(job_id)).execute(context)
        assert got == emulator.job(job_id)
        assert emulator.count() == 2
        assert ti.xcoms == {LINK: f"{emulator.url}/", "job_url": f"{emulator.url}/"}

    def test_the_link_is_the_connections_template(self, explorer, emulator, context, ti):
        explorer.set_connection(extra={"job_url": "{base_url}/#/w/{workflow_id}/j/{job_id}"})
        job_id = emulator.start_job(5)
        NebulaExplorerGetJobOperator(task_id="t", job_id=job_id).execute(context)
        assert ti.xcoms[LINK] == f"{emulator.url}/#/w/5/j/{job_id}"

    def test_a_job_that_is_not_there(self, emulator, context):
        with pytest.raises(NebulaExplorerNotFoundError):
            NebulaExplorerGetJobOperator(task_id="t", job_id=7).execute(context)


class TestListJobs:
    def test_it_returns_the_apis_objects(self, emulator, context):
        ids = [emulator.start_job(workflow, plan=DONE) for workflow in (5, 5, 6)]
        found = NebulaExplorerListJobsOperator(task_id="t", workflow_id="5").execute(context)
        assert [job["id"] for job in found] == [ids[1], ids[0]]
        assert set(found[0]) == set(emulator.job(ids[0])) - {"tasks"}

    def test_it_takes_filters_as_templates_give_them(self, emulator, context):
        emulator.start_job(5, plan=DONE, created=emulator.now() - 1000)
        nightly = emulator.start_job(5, plan=DONE, name="nightly")
        since = datetime.fromtimestamp(emulator.now() - 500, timezone.utc)
        found = NebulaExplorerListJobsOperator(
            task_id="t",
            name="nightly",
            status="Success",
            created_after=since.isoformat(),
            created_before=datetime(2100, 1, 1, tzinfo=timezone.utc),
            order="asc",
            limit="10",
        ).execute(context)
        assert [job["id"] for job in found] == [nightly]

    def test_it_returns_100_by_default(self, emulator, context):
        for _ in range(120):
            emulator.start_job(5)
        assert len(NebulaExplorerListJobsOperator(task_id="t").execute(context)) == 100
        assert len(NebulaExplorerListJobsOperator(task_id="t", limit=None).execute(context)) == 120

    @pytest.mark.parametrize(
        "wrong", [{"status": "done"}, {"created_after": "yesterday"}, {"limit": -1}, {"order": "x"}]
    )
    def test_a_wrong_filter_is_refused_before_any_request(self, emulator, context, wrong):
        with pytest.raises(NebulaExplorerConfigError, match=f"{next(iter(wrong))} is"):
            NebulaExplorerListJobsOperator(task_id="t", **wrong).execute(context)
        assert emulator.count() == 0


class TestRunWorkflow:
    def run(self, context, **arguments):
        arguments = {"workflow_id": 5, "poll_interval": 0.02, **arguments}
        return NebulaExplorerRunWorkflowOperator(task_id="t", **arguments).execute(context)

    def test_it_returns_the_id_and_leaves_the_finished_job(self, emulator, context, ti):
        emulator.plan(5, JobPlan(running=3))
        job_id = self.run(context, input={"query_1": {"limit": 3}})
        assert type(job_id) is int
        assert emulator.input(job_id) == {"query_1": {"limit": 3}}
        assert ti.xcoms == {
            LINK: f"{emulator.url}/",
            "job_url": f"{emulator.url}/",
            "job_id": job_id,
            "job": emulator.job(job_id),
            CLAIM_KEY: a_claim(emulator, job_id),
        }

    def test_it_need_not_wait(self, emulator, context, ti):
        job_id = self.run(context, wait_for_completion=False)
        assert emulator.count("get_job") == 0
        page = f"{emulator.url}/"
        claim = a_claim(emulator, job_id)
        assert ti.xcoms == {LINK: page, "job_url": page, "job_id": job_id, CLAIM_KEY: claim}

    def test_without_xcoms_it_pushes_what_other_tasks_need_alone(self, emulator, context, ti):
        emulator.plan(5, DONE)
        job_id = self.run(context, do_xcom_push=False)
        assert ti.xcoms == {CLAIM_KEY: a_claim(emulator, job_id)}
        assert [job["id"] for job in emulator.jobs] == [job_id]

    def test_the_input_may_be_json_text(self, emulator, context):
        job_id = self.run(context, input='{"query_1": {"limit": 3}}', wait_for_completion=False)
        assert emulator.input(job_id) == {"query_1": {"limit": 3}}

    @pytest.mark.parametrize("ends", ["FAILED", "INTERRUPTED"])
    def test_a_job_that_ends_badly_fails_the_task_and_names_the_tasks(self, emulator, context, ti, ends):
        emulator.plan(5, JobPlan(running=0, ends=ends, tasks=(TaskPlan("query_1"), TaskPlan("bfs_1"))))
        with pytest.raises(NebulaExplorerJobError, match=f"ended {ends}.*bfs_1") as raised:
            self.run(context)
        assert raised.value.job.data == ti.xcoms["job"]
        assert raised.value.url == f"{emulator.url}/"
        assert ti.xcoms["job"]["status"] in (3, 4)
        assert not isinstance(raised.value, AirflowFailException), "a retry runs a new job"

    def test_a_retry_runs_a_new_job(self, emulator, context):
        emulator.plan(5, JobPlan(running=0, ends="FAILED"))
        operator = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5)
        for _ in range(2):
            with pytest.raises(NebulaExplorerJobError):
                operator.execute(context)
        assert len(emulator.jobs) == 2

    def test_the_link_is_there_before_the_first_poll_of_the_job(self, emulator, context, ti, monkeypatch):
        polls = {}
        monkeypatch.setattr(
            ti, "xcom_push", lambda key, value: polls.update({key: emulator.count("get_job")})
        )
        emulator.plan(5, DONE)
        self.run(context)
        assert polls == {"job_id": 0, LINK: 0, "job_url": 0, CLAIM_KEY: 0, "job": 1}

    def test_the_id_and_the_page_are_there_though_the_task_fails(self, emulator, context, ti):
        emulator.plan(5, JobPlan(running=0, ends="FAILED"))
        with pytest.raises(NebulaExplorerJobError):
            self.run(context)
        assert (ti.xcoms["job_id"], ti.xcoms["job_url"]) == (emulator.jobs[0]["id"], f"{emulator.url}/")

    def test_the_start_is_sent_from_a_thread_whose_name_says_so(self, emulator, context, monkeypatch):
        def send(http, method, url, **arguments):
            if method == "POST" and url.endswith("/jobs"):
                threads.append(threading.current_thread().name)
            return really_send(http, method, url, **arguments)

        threads = []
        really_send = requests.Session.request
        monkeypatch.setattr(requests.Session, "request", send)
        self.run(context, wait_for_completion=False)
        assert threads == ["nebula-explorer-start"]

    @pytest.mark.parametrize(("given", "kept"), [(None, None), (5, 5), (timedelta(minutes=1), 60)])
    def test_a_poll_interval_is_kept_in_seconds(self, given, kept):
        for make in (
            partial(NebulaExplorerRunWorkflowOperator, workflow_id=5),
            partial(NebulaExplorerCancelJobOperator, job_id=5),
        ):
            assert make(task_id="t", poll_interval=given).poll_interval == kept
            assert make(task_id="t").poll_interval is None

    def test_a_wrong_poll_interval_is_refused_when_the_dag_is_read(self):
        with pytest.raises(NebulaExplorerConfigError, match="poll_interval is 0"):
            NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0)

    @pytest.fixture
    def killed(self, explorer, monkeypatch):
        """Run an operator and kill its task in the middle of a request, as Airflow does: with a signal.

        The request is given by its number, or it is the one that starts the job. The requests are a login, a
        list of jobs, the start of the job, and polls.
        """

        def kill():
            sent.append(True)
            os.kill(os.getpid(), signal.SIGALRM)

        def send(http, method, url, **arguments):
            if method == "POST" and url.endswith("/jobs"):
                kill()
            return really_send(http, method, url, **arguments)

        sent = []
        really_send = requests.Session.request

        def killed(operator, context, *, request=4, starting=False):
            def on_signal(signum, frame):
                operator.on_kill()
                raise KeyboardInterrupt

            if starting:
                monkeypatch.setattr(requests.Session, "request", send)
            else:
                explorer.clock.at_request = lambda number: number == request and not sent and kill()
            before = signal.signal(signal.SIGALRM, on_signal)
            try:
                with pytest.raises(KeyboardInterrupt):
                    operator.execute(context)
            finally:
                signal.signal(signal.SIGALRM, before)

        return killed

    @pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, 4), (False, 1)])
    def test_a_task_that_is_killed_cancels_its_job(self, emulator, context, killed, cancel_on_kill, status):
        emulator.plan(5, JobPlan(running=1000, stopping=0))
        operator = NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, poll_interval=0.02, cancel_on_kill=cancel_on_kill
        )
        killed(operator, context)
        assert emulator.jobs[0]["status"] == status

    def test_a_cancel_that_fails_names_the_job(self, emulator, context, killed, caplog):
        emulator.plan(5, JobPlan(running=1000))
        emulator.fail(Fault("status", "cancel_job"))
        operator = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.02)
        killed(operator, context)
        job_id = emulator.jobs[0]["id"]
        assert any(
            f"Job {job_id} was not cancelled and may keep running" in r.getMessage() for r in caplog.records
        )

    def test_a_task_that_is_killed_while_it_requests_its_job_cancels_it(self, emulator, context, killed):
        emulator.plan(5, JobPlan(running=1000, stopping=0))
        killed(NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5), context, starting=True)
        assert [job["status"] for job in emulator.jobs] == [4]

    def test_a_kill_whose_job_is_not_known_says_so(self, emulator, context, killed, caplog):
        emulator.fail(Fault("lost", "run_workflow"))
        killed(NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5), context, starting=True)
        assert any("a job of workflow 5 may be running" in record.getMessage() for record in caplog.records)
        assert emulator.count("cancel_job") == 0

    def test_a_task_that_is_killed_before_it_requests_a_job_starts_none(self, emulator, context, killed):
        killed(NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5), context, request=0)
        assert emulator.jobs == []

    def test_a_job_that_is_final_already_is_no_error_when_the_task_is_killed(
        self, emulator, context, killed, caplog
    ):
        emulator.plan(5, JobPlan(running=1000))
        emulator.fail(Fault("code", "cancel_job", code=40004000))
        operator = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.02)
        killed(operator, context)
        assert any("was already final, stopping or gone" in record.getMessage() for record in caplog.records)

    @pytest.mark.parametrize("wait", [True, False])
    def test_a_task_that_no_longer_waits_cancels_nothing(self, emulator, context, wait, caplog):
        emulator.plan(5, DONE)
        operator = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, wait_for_completion=wait)
        operator.execute(context)
        operator.on_kill()
        assert emulator.count("cancel_job") == 0
        assert "Killed" not in caplog.text

    def test_a_task_that_is_killed_before_it_begins_starts_no_job(self, emulator, context):
        operator = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5)
        operator.on_kill()
        with pytest.raises(NebulaExplorerTaskKilledError, match="The task was killed"):
            operator.execute(context)
        assert emulator.jobs == []


class TestCancelJob:
    def test_it_requests_the_stop_and_ends(self, emulator, context, ti):
        job_id = emulator.start_job(5, plan=JobPlan(running=1000, stopping=1000))
        job = NebulaExplorerCancelJobOperator(task_id="t", job_id=job_id).execute(context)
        assert (job["id"], job["status"]) == (job_id, 5)
        assert ti.xcoms == {LINK: f"{emulator.url}/", "job_url": f"{emulator.url}/"}

    def test_it_waits_for_the_end_if_requested(self, emulator, context):
        job_id = emulator.start_job(5, plan=JobPlan(running=1000, stopping=3))
        operator = NebulaExplorerCancelJobOperator(
            task_id="t", job_id=str(job_id), wait_for_completion=True, poll_interval=0.02
        )
        assert operator.execute(context) == emulator.job(job_id)
        assert emulator.job(job_id)["status"] == 4

    @pytest.mark.parametrize("ends", ["SUCCESS", "FAILED", "INTERRUPTED"])
    @pytest.mark.parametrize("wait", [False, True])
    def test_a_job_that_is_final_already_is_no_error(self, emulator, context, ends, wait):
        job_id = emulator.start_job(5, plan=JobPlan(running=0, ends=ends))
        operator = NebulaExplorerCancelJobOperator(task_id="t", job_id=job_id, wait_for_completion=wait)
        assert operator.execute(context) == emulator.job(job_id)

    def test_another_refusal_is_an_error(self, emulator, context):
        job_id = emulator.start_job(5, plan=JobPlan(running=1000))
        emulator.fail(Fault("code", "cancel_job", code=40004001))
        with pytest.raises(NebulaExplorerBadRequestError):
            NebulaExplorerCancelJobOperator(task_id="t", job_id=job_id).execute(context)


class TestGetTaskResult:
    ROWS = (("player1", "0.5"), ("player2", "0.25"))

    @pytest.fixture
    def job_id(self, emulator):
        tasks = (TaskPlan("query_1", self.ROWS), TaskPlan("same"), TaskPlan("same"))
        return emulator.start_job(5, plan=JobPlan(running=0, tasks=tasks))

    def test_a_task_by_name(self, context, job_id):
        operator = NebulaExplorerGetTaskResultOperator(
            task_id="t", job_id=job_id, explorer_task_name="query_1"
        )
        assert operator.execute(context) == [list(row) for row in self.ROWS]

    def test_a_task_by_id_is_two_requests(self, emulator, context, job_id):
        task_id = emulator.job(job_id)["tasks"][0]["id"]
        operator = NebulaExplorerGetTaskResultOperator(
            task_id="t", job_id=job_id, explorer_task_id=task_id, limit="1"
        )
        assert operator.execute(context) == [list(self.ROWS[0])]
        assert emulator.count() == 2

    @pytest.mark.parametrize(("name", "count"), [("same", 2), ("nobody", 0)])
    def test_a_name_that_fits_none_or_several_lists_the_tasks(self, emulator, context, job_id, name, count):
        operator = NebulaExplorerGetTaskResultOperator(task_id="t", job_id=job_id, explorer_task_name=name)
        with pytest.raises(NebulaExplorerConfigError, match=f"matches {count} tasks") as raised:
            operator.execute(context)
        for task in emulator.job(job_id)["tasks"]:
            assert f"{task['name']} ({task['id']})" in str(raised.value)

    @pytest.mark.parametrize("names", [{}, {"explorer_task_id": "f" * 32, "explorer_task_name": "x"}])
    def test_just_one_of_the_two_names_the_task(self, names):
        with pytest.raises(NebulaExplorerConfigError, match="exactly one of the two"):
            NebulaExplorerGetTaskResultOperator(task_id="t", job_id=1, **names)
