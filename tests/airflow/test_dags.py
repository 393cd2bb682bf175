# SPDX-License-Identifier: Apache-2.0
"""The example DAGs, run by a real Airflow against the emulator."""

from __future__ import annotations

import operator

import pytest
from example_runs import DAGS, ONLY_ON_AIRFLOW_3, load_dags, make_database

from airflow_provider_nebula_explorer.emulator import JobPlan

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours


@pytest.fixture(scope="module", autouse=True)
def database():
    make_database()


@pytest.fixture(scope="module")
def dags(database):
    return load_dags()


@pytest.fixture
def run(dags, emulator):
    def run(name, **arguments):
        ended = dags[name].test(**arguments)
        states = {ti.task_id: str(ti.state) for ti in ended.get_task_instances()}
        return states, xcoms_of(ended.run_id)

    return run


def xcoms_of(run_id):
    """The XComs of a run: by task, key and map index."""
    from airflow.models import xcom
    from airflow.utils.session import create_session

    if hasattr(xcom, "XComModel"):
        model, read = xcom.XComModel, xcom.XComModel.deserialize_value
    else:  # Airflow 2 reads the value as it loads the row
        model, read = xcom.XCom, operator.attrgetter("value")
    with create_session() as session:
        rows = session.query(model).filter(model.run_id == run_id).all()
        return {(row.task_id, row.key, row.map_index): read(row) for row in rows}


def test_every_example_is_a_dag(dags):
    assert len(dags) == len({file.name for file in DAGS.glob("*.py")} - ONLY_ON_AIRFLOW_3)


def test_run_workflow(run, emulator):
    emulator.plan(3992429968, JobPlan(preparing=2, running=2))
    states, xcoms = run("nebula_explorer_run_workflow")
    job_id = xcoms["run", "return_value", -1]
    assert emulator.input(job_id) == {"query_1": {"limit": 10}}
    assert states.pop("report_failure") == "skipped"
    assert set(states.values()) == {"success"}
    assert xcoms["details", "return_value", -1] == emulator.job(job_id)
    assert xcoms["wait", "return_value", -1] == emulator.job(job_id)
    assert xcoms["rows", "return_value", -1] == [["player110", "0.150000"], ["player106", "0.120000"]]
    assert xcoms["run", "nebula_explorer_job_link", -1] == f"{emulator.url}/"


def test_wait_at_scale(run, emulator):
    emulator.plan(3992429968, JobPlan(running=1))
    states, xcoms = run("nebula_explorer_wait_at_scale")
    assert set(states.values()) == {"success"}
    assert {
        emulator.input(xcoms["runs", "return_value", index])["query_1"]["limit"] for index in range(3)
    } == {
        10,
        20,
        30,
    }
    assert xcoms["wait", "return_value", -1] == emulator.job(xcoms["another", "return_value", -1])


def test_run_workflow_takes_the_other_branch_when_the_job_fails(run, emulator):
    emulator.plan(7, JobPlan(running=0, ends="FAILED"))
    states, _ = run("nebula_explorer_run_workflow", run_conf={"workflow_id": "7"})
    assert (states["report_failure"], states["last_task"], states["rows"]) == (
        "success",
        "skipped",
        "skipped",
    )


def test_wait_for_workflow(run, emulator):
    emulator.plan(3992429968, JobPlan(running=1))
    states, xcoms = run("nebula_explorer_wait_for_workflow")
    assert set(states.values()) == {"success"}
    assert xcoms["wait", "return_value", -1]["workflowId"] == "3992429968"


@pytest.mark.skipif(bool(ONLY_ON_AIRFLOW_3), reason="Airflow 2 has no asset watchers")
def test_on_success(run, dags):
    (asset,) = dags["nebula_explorer_on_success"].timetable.asset_condition.objects
    assert asset.uri == "nebula-explorer://nebula_explorer_default/workflows/3992429968"
    states, _ = run("nebula_explorer_on_success")
    assert states == {"use": "success"}


def test_list_jobs(run, emulator):
    ids = [emulator.start_job(3992429968, plan=JobPlan(running=0)) for _ in range(4)]
    states, xcoms = run("nebula_explorer_list_jobs")
    assert set(states.values()) == {"success"}
    found = [xcoms["details", "return_value", index]["id"] for index in range(3)]
    assert found == ids[:0:-1]


def test_own_operator(run, emulator):
    for ends in ("SUCCESS", "FAILED"):
        emulator.start_job(3992429968, plan=JobPlan(running=5, ends=ends))
    states, xcoms = run("nebula_explorer_own_operator")
    assert set(states.values()) == {"success"}
    assert xcoms["wait", "return_value", -1] == ["FAILED", "SUCCESS"]  # the newest first


def test_cancel_job(run, emulator):
    emulator.plan(3992429968, JobPlan(running=1000))
    states, _ = run("nebula_explorer_cancel_job")
    assert set(states.values()) == {"success"}
    assert [job["status"] for job in emulator.jobs] == [4]


@pytest.mark.parametrize("name", ["ranks", "top_ranks"])
def test_the_first_dag_of_the_readme_and_of_the_tutorial(run, emulator, name):
    emulator.plan(3992429968, JobPlan(running=0))
    states, xcoms = run(name)
    assert set(states.values()) == {"success"}
    assert list(emulator.input(xcoms["run", "return_value", -1])) == ["query_1"]
    assert xcoms["rows", "return_value", -1] == [["player110", "0.150000"], ["player106", "0.120000"]]


def test_several_runs_in_one_task(run, emulator):
    emulator.plan(3992429968, JobPlan(running=0))
    states, xcoms = run("several_runs")
    assert states == {"run_each": "success"}
    jobs = xcoms["run_each", "return_value", -1]
    assert [emulator.input(job)["query_1"]["limit"] for job in jobs] == [10, 20, 30]
