# SPDX-License-Identifier: Apache-2.0
"""What Airflow 2.11 itself does: on Airflow 3, tests/e2e shows the same with all of its processes."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timezone

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG
from stand_ins import Crash, ids

from airflow_provider_nebula_explorer.assets.nebula_explorer import workflow_asset
from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

pytestmark = [
    pytest.mark.skipif(not airflow.__version__.startswith("2."), reason="Airflow 3 is tested in tests/e2e"),
    pytest.mark.filterwarnings("default"),  # Airflow's own warnings are not ours
]
SHORT = JobPlan(running=6)


@pytest.fixture(scope="module", autouse=True)
def database():
    # Tables to which notes of task instances refer; Airflow's own processes load them with the auth manager.
    import airflow.providers.fab.auth_manager.models  # noqa: F401

    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture
def session():
    from airflow.utils.session import create_session

    with create_session() as session:
        yield session


class Task:
    """A task with retries, in a DAG run of its own, which Airflow's database knows."""

    def __init__(self, session, name):
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunType

        with DAG(name, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc)) as dag:
            self.operator = NebulaExplorerRunWorkflowOperator(
                task_id="run", workflow_id=5, poll_interval=0.1, retries=2, outlets=[workflow_asset(5)]
            )
        DAG.bulk_write_to_db([dag], session=session)
        self._session = session
        self._run = dag.create_dagrun(
            run_id="a_run",
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
            execution_date=dag.start_date,
            data_interval=(dag.start_date, dag.start_date),
            session=session,
        )

    @property
    def instance(self):
        ti = self._run.get_task_instance("run", session=self._session)
        ti.refresh_from_task(self.operator)
        return ti

    def attempt(self):
        """Have the scheduler count an attempt, make it, and return the task instance."""
        self._run.schedule_tis([self.instance], session=self._session)
        self._session.commit()
        self.instance.run(ignore_all_deps=True, session=self._session)
        return self.instance

    def end_as_lost(self):
        """Do what the scheduler does when it misses a worker's heartbeats."""
        self.instance.handle_failure("lost", session=self._session)
        self._session.commit()

    def clear(self):
        from airflow.models.taskinstance import clear_task_instances

        clear_task_instances([self.instance], self._session, dag=self.operator.dag)
        self._session.commit()


@pytest.fixture
def lost(monkeypatch):
    """Lose the worker of a task's next attempt while it waits."""

    def lost(task):
        def die(seconds):
            raise Crash

        with monkeypatch.context() as patched:
            patched.setattr(time, "sleep", die)
            with pytest.raises(Crash):
                task.attempt()
        task.end_as_lost()

    return lost


def test_a_retry_has_the_job_of_the_lost_attempt_and_a_clear_has_another(session, emulator, lost):
    task = Task(session, "retried_and_cleared")
    emulator.plan(5, SHORT)
    lost(task)
    assert (task.instance.state, len(emulator.jobs)) == ("up_for_retry", 1)
    retried = task.attempt()
    assert (retried.state, retried.try_number) == ("success", 2)
    assert retried.xcom_pull(task_ids="run") == ids(emulator)[0]
    assert len(emulator.jobs) == 1
    task.clear()
    cleared = task.attempt()
    assert (cleared.state, cleared.try_number) == ("success", 3)
    assert [cleared.xcom_pull(task_ids="run")] == ids(emulator)[1:]


def test_a_clear_after_the_worker_was_lost_cancels_the_job_and_starts_another(session, emulator, lost):
    task = Task(session, "lost_and_cleared")
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    lost(task)
    task.clear()
    emulator.plan(5, SHORT)
    assert task.attempt().state == "success"
    assert [job["status"] for job in emulator.jobs] == [4, 2]


def test_the_dataset_event_of_a_run_names_its_job(session, emulator):
    from airflow.models.dataset import DatasetEvent

    emulator.plan(5, SHORT)
    job_id = Task(session, "with_outlet").attempt().xcom_pull(task_ids="run")
    (event,) = session.query(DatasetEvent).filter(DatasetEvent.source_dag_id == "with_outlet")
    assert event.uri == "nebula-explorer://nebula_explorer_default/workflows/5"
    assert event.extra == {"job_id": job_id, "workflow_id": "5"}
