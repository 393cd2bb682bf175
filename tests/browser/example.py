# SPDX-License-Identifier: Apache-2.0
"""The example DAGs that a newcomer runs, and the plan of their workflow's jobs."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_nebula_explorer.emulator import JobPlan, TaskPlan

DAGS = Path(__file__).parents[2] / "example_dags"
DAG_ID = "nebula_explorer_run_workflow"
ASSET_DAG_ID = "nebula_explorer_on_success"
WORKFLOW_ID = 3992429968
JOB_SECONDS = 1000.0
"""How long a job takes, on Explorer's clock: so long that none ends before a test sets that clock forward."""

RANKS = (("player101", "0.4211"), ("player102", "0.2706"), ("player125", "0.1532"))
PLAN = JobPlan(running=JOB_SECONDS, tasks=(TaskPlan("query_1"), TaskPlan("pagerank_1", RANKS)))
