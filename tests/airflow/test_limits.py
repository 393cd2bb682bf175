# SPDX-License-Identifier: Apache-2.0
"""What limits how many tasks run at once, as the page about many inputs says of each Airflow."""

from __future__ import annotations

import subprocess
import sys

import airflow
import pytest
from example_runs import load_dags, make_database

from airflow_provider_nebula_explorer.emulator import JobPlan

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])


@pytest.fixture(scope="module")
def dags():
    make_database()
    subprocess.run([sys.executable, "-m", "airflow", "dags", "reserialize"], check=True, capture_output=True)
    return load_dags()


@pytest.fixture
def session():
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session


class Run:
    """A run of a DAG with mapped tasks, for which the scheduler decides which may begin."""

    def __init__(self, dag, task_id, session):
        from airflow.models import DagModel, DagRun, TaskInstance

        of_run = {"dag_id": dag.dag_id, "run_id": dag.test().run_id}
        self._run = session.query(DagRun).filter_by(**of_run)
        self._dag = session.query(DagModel).filter_by(dag_id=dag.dag_id)
        self._dag.update({"is_paused": False})
        self._tasks = session.query(TaskInstance).filter_by(**of_run, task_id=task_id)
        self._session = session
        self.begin()

    def begin(self):
        self._run.update({"state": "running"})

    def limit(self, active_tasks):
        """Limit how many tasks of the DAG may be active."""
        self._dag.update({"max_active_tasks": active_tasks})
        self._session.commit()

    def end(self):
        self._run.update({"state": "success"})
        self._tasks.update({"state": "success"})
        self.limit(16)

    def allowed(self, states, pool="default_pool"):
        """Return how many of the tasks the scheduler lets begin, if the first have these states."""
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        self._tasks.update({"state": "scheduled", "pool": pool})
        for number, state in enumerate(states):
            self._tasks.filter_by(map_index=number).update({"state": state})
        self._session.commit()
        scheduler = SchedulerJobRunner(job=Job())
        return len(scheduler._executable_task_instances_to_queued(max_tis=32, session=self._session))


@pytest.fixture
def run(dags, emulator, session):
    """Run a DAG whose jobs succeed at once; what the test makes of the run ends with the test."""
    runs = []

    def run(dag_id, task_id):
        emulator.plan(3992429968, JobPlan(running=0))
        runs.append(Run(dags[dag_id], task_id, session))
        return runs[-1]

    yield run
    for each in runs:
        each.end()


@pytest.fixture
def limited_run(dags, run, monkeypatch):
    """A run of eight inputs, of which at most five run at a time."""
    inputs = dags["nebula_explorer_many_inputs"].get_task("inputs").python_callable
    monkeypatch.setitem(inputs.__globals__, "INPUTS", 8)
    return run("nebula_explorer_many_inputs", "run")


@pytest.fixture
def other_run(run):
    """A run of three inputs whose tasks have no limit of their own."""
    return run("nebula_explorer_wait_at_scale", "runs")


def test_a_limit_of_a_task_counts_its_deferred_tasks_since_airflow_3_2(limited_run):
    assert limited_run.allowed(["running"] * 5) == 0
    assert limited_run.allowed(["deferred"] * 5) == (0 if VERSION >= (3, 2) else 3)
    assert limited_run.allowed(["success"] * 5) == 3


def test_a_pool_counts_deferred_tasks_if_it_includes_them(other_run, session):
    from airflow.models import Pool

    for include_deferred, allowed in ((True, 0), (False, 1)):
        Pool.create_or_update_pool(
            "explorer", slots=2, description="", include_deferred=include_deferred, session=session
        )
        assert other_run.allowed(["deferred"] * 2, pool="explorer") == allowed
    assert other_run.allowed([], pool="none") == 0


def test_the_limit_of_active_tasks_counts_no_deferred_ones_and_is_of_a_run_since_airflow_3(run, other_run):
    next_run = run("nebula_explorer_wait_at_scale", "runs")
    next_run.end()
    other_run.limit(active_tasks=2)
    assert other_run.allowed(["deferred"] * 2) == 1
    assert other_run.allowed(["running"] * 2) == 0
    next_run.begin()
    assert next_run.allowed([]) == (2 if VERSION >= (3, 0) else 0)
