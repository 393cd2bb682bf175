# SPDX-License-Identifier: Apache-2.0
"""The recipes of docs/howto, run by a real Airflow against the emulator.

What needs a scheduler, as tasks run at the same time there, is in ``tests/e2e/test_recipes.py``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import airflow
import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from stand_ins import TaskInstance
from test_dags import dags, database, run  # noqa: F401  (fixtures)

from airflow_provider_nebula_explorer.emulator import JobPlan, TaskPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerJobError

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])
WORKFLOW_ID = 3992429968
YESTERDAY = datetime.now(timezone.utc) - timedelta(days=1)
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "workflow-sensor.md"
DUE = datetime(2026, 1, 31, 15, 30, tzinfo=timezone.utc)  # half past midnight in Tokyo
LASTING = JobPlan(preparing=0, running=10**9)


@pytest.fixture
def dag(dags):  # noqa: F811
    return lambda name: dags[f"nebula_explorer_{name}"]


@pytest.fixture
def alerted(capsys):
    """Call a task's failure callback with an error, as Airflow does in a worker."""

    def alerted(task, error=None, **xcoms):
        found = task.on_failure_callback
        (callback,) = found if isinstance(found, list) else [found]  # Airflow 2 keeps it as it was given
        capsys.readouterr()
        ti = SimpleNamespace(task_id=task.task_id, xcom_pull=lambda task_ids, key: xcoms[key])
        callback({"run_id": "the_run", "ti": ti, **({"exception": error} if error else {})})
        return capsys.readouterr().out

    return alerted


def fail(task, error, **changes):
    """Execute a task that is to end in an error, and return it."""
    context = {"ti": TaskInstance(), "task_instance": TaskInstance()}
    arguments = {"workflow_id": WORKFLOW_ID, "input": None, "deferrable": False, **changes}
    for name, value in arguments.items():
        setattr(task, name, value)
    with pytest.raises(error) as raised:
        task.execute(context)
    return raised.value


def test_the_nightly_load_runs_for_the_day_on_which_it_is_due(run, emulator):  # noqa: F811
    emulator.plan(WORKFLOW_ID, JobPlan(running=0))
    states, xcoms = run("nebula_explorer_nightly_load")
    assert states == {"load": "success"}
    day = emulator.input(xcoms["load", "return_value", -1])["query_1"]["day"]
    assert len(day) == len("2026-01-31")


def test_the_alert_of_the_nightly_load_names_the_failed_job_and_its_task(dag, emulator, alerted):
    emulator.plan(WORKFLOW_ID, JobPlan(running=1, ends="FAILED", tasks=(TaskPlan("bad", fails=True),)))
    task = dag("nightly_load").get_task("load").prepare_for_execution()
    text = alerted(task, fail(task, NebulaExplorerJobError))
    (job,) = emulator.jobs
    alert = f"ALERT: the_run: job {job['id']} is FAILED; failed tasks: bad. Its page: {emulator.url}/\n"
    assert text == alert


def test_the_alert_of_the_nightly_load_says_why_there_is_no_job(dag, emulator, alerted):
    task = dag("nightly_load").get_task("load").prepare_for_execution()
    text = alerted(task, fail(task, NebulaExplorerError, workflow_id="none"))
    assert text.startswith("ALERT: the_run: ")
    assert "workflow_id" in text


def test_dag_test_calls_back_on_airflow_3_0_to_3_2_without_the_error(run, dag, emulator, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(dag("nightly_load").get_task("load"), "retries", 0)
    states, _ = run("nebula_explorer_nightly_load", run_conf={"workflow_id": "none"})
    assert states == {"load": "failed"}
    (alert,) = re.findall("ALERT: .*", capsys.readouterr().out)
    assert ("the task was lost" if (3, 0) <= VERSION < (3, 3) else "workflow_id is") in alert


@pytest.mark.parametrize("error", [None, RuntimeError("timed out")], ids=["lost", "timed out"])
def test_the_alert_of_the_nightly_load_names_the_job_if_its_error_does_not(dag, alerted, error):
    text = alerted(dag("nightly_load").get_task("load"), error, job_id=176, job_url="https://graph/jobs/176")
    reason = error or "the task was lost, its job may still run"
    assert text == f"ALERT: the_run: {reason}. The job: 176. Its page: https://graph/jobs/176\n"


def test_the_alert_of_the_nightly_load_comes_where_no_xcom_can_be_read(dag, alerted):
    assert "The job: None." in alerted(dag("nightly_load").get_task("load"))


def test_a_wait_with_a_deadline_takes_a_job_of_today(run, dag, emulator, monkeypatch):  # noqa: F811
    # dag.test() of Airflow 3.3 stops at a deadline of a DAG that no scheduler has seen yet.
    monkeypatch.setattr(dag("wait_with_deadline"), "deadline", None, raising=False)
    for ago in (0, 24 * 3600):  # a run of Airflow 2 before four o'clock is due on the day before
        emulator.start_job(WORKFLOW_ID, created=emulator.now() - ago, plan=JobPlan(running=0))
    states, _ = run("nebula_explorer_wait_with_deadline")
    assert states == {"wait": "success", "go_on": "success"}


def test_the_alert_of_a_missed_deadline_names_the_jobs_that_do_not_count(dag, emulator, alerted):
    job_id = emulator.start_job(WORKFLOW_ID, plan=JobPlan(running=0, ends="FAILED"))
    task = dag("wait_with_deadline").get_task("wait").prepare_for_execution()
    error = fail(task, AirflowSensorTimeout, created_after=YESTERDAY, created_before=None, timeout=0)
    assert str(job_id) in alerted(task, error)


@pytest.mark.parametrize(
    "due",
    [{"dag_run": SimpleNamespace(run_after=DUE)}, {"dag_run": SimpleNamespace(), "data_interval_end": DUE}],
    ids=["Airflow 3", "Airflow 2.11"],
)
@pytest.mark.parametrize(
    ("macro", "window"),
    [
        ("dag.timezone", ["2026-02-01", "2026-02-02"]),
        ("midnight_in_tokyo", ["2026-02-01T00:00:00+09:00", "2026-02-02T00:00:00+09:00"]),
    ],
)
def test_today_is_from_midnight_to_midnight_in_the_zone_that_the_page_names(dags, macro, window, due):  # noqa: F811
    page = re.sub(r'"\n +"', "", PAGE.read_text(encoding="utf-8"))  # texts that Python joins
    templates = re.findall(rf'created_(?:after|before)="({{{{ \(?{macro}.*?}}}})"', page)
    macros = SimpleNamespace(timedelta=timedelta)
    context = {"dag": SimpleNamespace(timezone=pendulum.timezone("Asia/Tokyo")), "macros": macros, **due}
    of_page = dags["after_tokyos_job"].get_template_env()
    assert [of_page.from_string(template).render(context) for template in templates] == window


def test_many_inputs_each_have_a_job_and_a_result(run, dag, emulator, monkeypatch):  # noqa: F811
    monkeypatch.setitem(dag("many_inputs").get_task("inputs").python_callable.__globals__, "INPUTS", 4)
    emulator.plan(WORKFLOW_ID, JobPlan(preparing=0, running=0))
    states, xcoms = run("nebula_explorer_many_inputs")
    assert (states["collect"], states["cancel_others"]) == ("success", "skipped")
    ids = [xcoms["run", "return_value", index] for index in range(4)]
    assert [emulator.input(job_id) for job_id in ids] == [{"query_1": {"part": part}} for part in range(4)]
    assert (
        xcoms["collect", "return_value", -1] == [[["player110", "0.150000"], ["player106", "0.120000"]]] * 4
    )


@pytest.mark.skipif(VERSION < (3, 0), reason="dag.test() of Airflow 2 ends at a timeout")
def test_a_job_that_outlives_its_task_is_stopped_and_the_run_has_failed(run, dag, emulator, monkeypatch):  # noqa: F811
    emulator.plan(WORKFLOW_ID, LASTING)
    task = dag("clean_up").get_task("run")
    monkeypatch.setattr(task, "execution_timeout", timedelta(seconds=2))
    monkeypatch.setattr(task, "cancel_on_kill", False)
    states, _ = run("nebula_explorer_clean_up")
    assert states == {"make_space": "success", "run": "failed", "clean_up": "success"}
    assert [job["status"] for job in emulator.jobs] == [4]


def test_a_run_that_started_no_job_is_cleaned_up_all_the_same(run, emulator):  # noqa: F811
    states, _ = run("nebula_explorer_clean_up", run_conf={"workflow_id": "none"})
    assert states == {"make_space": "success", "run": "failed", "clean_up": "success"}
    assert not emulator.jobs


def test_a_failed_job_is_not_repeated_though_there_are_retries(run, emulator):  # noqa: F811
    emulator.plan(WORKFLOW_ID, JobPlan(running=1, ends="FAILED"))
    states, _ = run("nebula_explorer_retry_lost_tasks")
    assert states == {"run": "success", "wait": "failed"}
    assert emulator.count("run_workflow") == 1
