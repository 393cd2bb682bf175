# SPDX-License-Identifier: Apache-2.0
"""Runs the example DAGs as Airflow itself tests them, in a database of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import airflow

DAGS = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])

ONLY_ON_AIRFLOW_3 = {"on_success.py"} if airflow.__version__.startswith("2.") else set()


def make_database():
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


def load_dags():
    """Return the DAGs of the folder by their ids; no file may fail, unless it is for a newer Airflow."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag

    bag = DagBag(DAGS)
    for file, error in bag.import_errors.items():
        assert Path(file).name in ONLY_ON_AIRFLOW_3, error
        assert "needs Airflow 3.0 or newer" in error
    return bag.dags


def dag_of(dags, name):
    """Return the one DAG of a file."""
    (dag,) = (dag for dag in dags.values() if Path(dag.fileloc).name == name)
    return dag


def states_of(run):
    """Return the states in which tasks of a run are, by task; of a mapped task, by its number, too."""
    tis = run.get_task_instances()
    return {f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: str(ti.state) for ti in tis}
