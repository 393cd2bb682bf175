# SPDX-License-Identifier: Apache-2.0
"""Every example and every whole DAG of a page, however a run is started: scheduled, by hand, by an asset."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import partialmethod

import pytest
from example_runs import DAGS, ONLY_ON_AIRFLOW_3, dag_of, load_dags, make_database, states_of
from factories import PUBLISHED_JOB

from airflow_provider_nebula_explorer.emulator import JobPlan

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours


@pytest.fixture(scope="module")
def dags():
    make_database()
    return load_dags()


AS_SCHEDULED = datetime(2026, 1, 31, tzinfo=timezone.utc)
SOMEBODYS = [None, *(datetime(2026, 1, day, 12, tzinfo=timezone.utc).timestamp() for day in (30, 31))]
"""When somebody's jobs are created, for the examples that wait for one of today: a run is due now, or when it
is scheduled, or, by Airflow 2, at the end of the interval before."""


RUN_IDS = {"scheduled": "manual__"}  # what dag.test() makes of a date
if not ONLY_ON_AIRFLOW_3:
    RUN_IDS = {"scheduled": "scheduled__", "by hand": "manual__", "by an asset": "asset_triggered__"}


@pytest.fixture
def started(monkeypatch, dags):
    """Return the arguments with which ``dag.test()`` runs as if it was started in one of the ways."""
    if ONLY_ON_AIRFLOW_3:
        return lambda how: {"execution_date": AS_SCHEDULED}
    from airflow.utils.types import DagRunType

    def started(how):
        kind = {"scheduled": DagRunType.SCHEDULED, "by an asset": DagRunType.ASSET_TRIGGERED}.get(how)
        if kind is not None:
            kind_of_dag = stored_dag()
            create = partialmethod(create_run, really_create=kind_of_dag.create_dagrun, kind=kind)
            monkeypatch.setattr(kind_of_dag, "create_dagrun", create)
        return {"logical_date": AS_SCHEDULED if how == "scheduled" else None}

    return started


def stored_dag():
    """Return Airflow's class of the DAGs that create runs."""
    try:
        from airflow.serialization.definitions.dag import SerializedDAG
    except ImportError:  # Airflow before 3.2
        from airflow.models.dag import DAG
        from airflow.serialization.serialized_objects import SerializedDAG

        return DAG if hasattr(DAG, "create_dagrun") else SerializedDAG  # the latter in Airflow 3.1
    return SerializedDAG


def create_run(dag, *, really_create, kind, run_id, session, **arguments):
    """Create a run as Airflow's scheduler does; ``dag.test()`` itself creates runs by hand alone."""
    _, _, when = run_id.partition("__")
    run = really_create(
        dag, **{**arguments, "run_type": kind, "run_id": f"{kind.value}__{when}", "session": session}
    )
    if arguments["logical_date"] is None:
        run.consumed_asset_events.append(an_asset_event(session))
        session.flush()
    return run


def an_asset_event(session):
    """Return the event of a job that succeeded, as the watcher of an asset stores it."""
    from airflow.models.asset import AssetEvent, AssetModel

    asset = session.query(AssetModel).filter_by(name="ranks of a test").one_or_none()
    if asset is None:
        asset = AssetModel(name="ranks of a test", uri="nebula-explorer://a/workflows/5", group="asset")
        session.add(asset)
        session.flush()
    event = AssetEvent(asset_id=asset.id, extra={"from_trigger": True, "payload": PUBLISHED_JOB})
    session.add(event)
    session.flush()
    return event


def plans_of(file):
    """Return a plan for each workflow of an example: its jobs succeed at once, unless the example cancels."""
    running = 1000 if file.name == "cancel_job.py" else 0
    ids = re.findall(r"\b[0-9]{8,}\b", file.read_text(encoding="utf-8"))
    return {int(workflow): JobPlan(running=running) for workflow in ids}


@pytest.mark.parametrize("how", RUN_IDS)
@pytest.mark.parametrize("name", sorted(file.name for file in DAGS.glob("*.py")))
def test_every_example_runs_however_it_is_started(dags, emulator, started, monkeypatch, name, how):
    if name in ONLY_ON_AIRFLOW_3:
        pytest.skip("its page says that it needs Airflow 3")
    for workflow, plan in plans_of(DAGS / name).items():
        emulator.plan(workflow, plan)
        for created in SOMEBODYS:
            emulator.start_job(workflow, created=created, plan=JobPlan(running=0))
    dag = dag_of(dags, name)
    if name == "many_inputs.py":  # fifty take a quarter of a minute
        monkeypatch.setitem(dag.get_task("inputs").python_callable.__globals__, "INPUTS", 4)
    # dag.test() of Airflow 3.3 stops at a deadline of a DAG that no scheduler has seen yet.
    monkeypatch.setattr(dag, "deadline", None, raising=False)
    ended = dag.test(**started(how))
    assert {"success"} <= set(states_of(ended).values()) <= {"success", "skipped"}
    assert ended.run_id.startswith(RUN_IDS[how])
