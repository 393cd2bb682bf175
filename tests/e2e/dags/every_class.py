# SPDX-License-Identifier: Apache-2.0
"""Every class of the package, at work and in every kind of trouble, and texts that a search must find."""

from __future__ import annotations

import base64
import binascii
import html
import json
import logging
import os
import subprocess
import sys
from datetime import timedelta
from urllib.parse import quote, quote_plus

from airflow.sdk import DAG, dag, task

from airflow_provider_nebula_explorer.assets.nebula_explorer import watched_workflow_asset
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerListJobsOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.retry_policies.nebula_explorer import NebulaExplorerRetryPolicy
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)

LASTING, FAILING, AWAITED, ENDLESS, MISSING = 1, 2, 4, 5, 404
"""Workflows whose jobs last, fail, are started by somebody else, never end; and one that does not exist."""

TROUBLES = (
    "wrong_password",
    "unreachable",
    "no_tls",
    "proxy_is_down",
    "proxy_refuses",
    "proxy_refuses_tunnel",
    "account_in_host",
    "echoes_login",
    "echoes_token",
    "echoes_in_data",
    "echoes_in_page",
    "breaks_headers",
    "breaks_cookie",
)
"""Connections that the triggerer uses."""

TRACED = {"params": {"_selective_enable_ol": True}}
"""Enables OpenLineage for a task; its own ``enable_lineage`` takes seconds to import."""

log = logging.getLogger(__name__)


def conf(name):
    return f"{{{{ dag_run.conf[{name!r}] }}}}"


@task
def call_every_method(job_id, explorer_task_id):
    with NebulaExplorerHook("explorer") as hook:
        started = hook.run_workflow(LASTING, {"query_1": {"limit": 3}})
        hook.cancel_job(started)
        hook.get_job_status(started)
        list(hook.list_jobs(LASTING))
        hook.get_task_result(job_id, explorer_task_id)
        log.info("%s", hook.wait_for_job(job_id))
        log.info("%s %s %s", hook.test_connection(), hook.settings, vars(hook))


@task
def meet_every_refusal(connections):
    """Log each error with its causes, as Airflow does when a task fails."""
    for connection in json.loads(connections):
        hook = NebulaExplorerHook(connection)
        for method in (hook.get_job, hook.cancel_job):
            try:
                method(1)
            except NebulaExplorerError as error:
                log.warning("%s: %r %r", connection, error, error.args, exc_info=True)
        log.warning("%s", hook.test_connection())


@task
def plant(ti, text, seconds):
    """Put a text, in every spelling, into each kind of place that the search must cover."""
    raw = text.encode()
    for spelling in (
        text,
        json.dumps(text),
        repr(text),
        quote(text),
        quote_plus(text),
        html.escape(text),
        text.encode("unicode_escape").decode(),
        binascii.hexlify(raw).decode(),
        *(base64.b64encode(before + raw + b"..").decode() for before in (b"", b".", b"..")),
    ):
        log.debug("planted %s", spelling)
    ti.xcom_push(key="planted", value=text)
    process = [sys.executable, "-c", f"import time; time.sleep({seconds})", text]
    subprocess.run(process, check=True, env={**os.environ, "PLANTED": text})
    raise RuntimeError(text)


with DAG(
    "every_class",
    schedule=None,
    default_args={"nebula_explorer_conn_id": "explorer", "poll_interval": 1, "poke_interval": 1},
):
    NebulaExplorerRunWorkflowOperator(task_id="run", workflow_id=LASTING, **TRACED)
    NebulaExplorerRunWorkflowOperator(task_id="run_deferred", workflow_id=LASTING, deferrable=True)
    start = NebulaExplorerRunWorkflowOperator(task_id="start", workflow_id=LASTING, wait_for_completion=False)
    NebulaExplorerListJobsOperator(task_id="list_jobs", workflow_id=LASTING)
    NebulaExplorerGetTaskResultOperator(
        task_id="get_task_result", job_id=conf("done"), explorer_task_name="query_1"
    )
    NebulaExplorerCancelJobOperator(
        task_id="cancel", job_id=conf("slow_to_stop"), wait_for_completion=True, deferrable=True
    )
    call_every_method(conf("done"), conf("explorer_task_id"))

    NebulaExplorerJobSensor(
        task_id="wait_rescheduled", job_id=conf("lasting"), mode="reschedule", poke_interval=20
    )
    NebulaExplorerJobSensor(task_id="wait_deferred", job_id=conf("lasting"), deferrable=True)
    NebulaExplorerJobSensor(
        task_id="wait_without_worker", job_id=start.output, deferrable=True, start_from_trigger=True
    )
    NebulaExplorerWorkflowSensor(task_id="wait_for_any_deferred", workflow_id=AWAITED, deferrable=True)

    # These fail.
    NebulaExplorerRunWorkflowOperator(task_id="job_fails", workflow_id=FAILING, deferrable=True, **TRACED)
    NebulaExplorerJobSensor(
        task_id="job_is_interrupted", job_id=conf("interrupted"), deferrable=True, soft_fail=True
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="no_such_workflow",
        workflow_id=MISSING,
        retries=2,
        retry_policy=NebulaExplorerRetryPolicy(),
    )
    NebulaExplorerGetJobOperator(
        task_id="try_again",
        job_id=conf("retried"),
        nebula_explorer_conn_id="fails_once",
        retries=1,
        retry_delay=timedelta(seconds=1),
        retry_policy=NebulaExplorerRetryPolicy(),
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="login_is_refused", workflow_id=1, nebula_explorer_conn_id="wrong_password", **TRACED
    )
    NebulaExplorerJobSensor(
        task_id="login_is_refused_in_triggerer",
        job_id=1,
        nebula_explorer_conn_id="echoes_login",
        deferrable=True,
        start_from_trigger=True,
    )
    NebulaExplorerJobSensor(
        task_id="explorer_echoes_token_in_triggerer",
        job_id=1,
        nebula_explorer_conn_id="echoes_token",
        deferrable=True,
        start_from_trigger=True,
    )
    NebulaExplorerWorkflowSensor(
        task_id="explorer_echoes_token",
        workflow_id=1,
        nebula_explorer_conn_id="echoes_token",
        poke_interval=1,
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="response_is_lost",
        workflow_id=1,
        nebula_explorer_conn_id="loses_response",
        on_ambiguous_submit="fail",
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="out_of_time", workflow_id=ENDLESS, execution_timeout=timedelta(seconds=6)
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="out_of_time_deferred",
        workflow_id=ENDLESS,
        execution_timeout=timedelta(seconds=20),
        deferrable=True,
        priority_weight=2,
    )
    NebulaExplorerJobSensor(task_id="sensor_out_of_time", job_id=conf("endless"), timeout=3)
    NebulaExplorerRunWorkflowOperator(
        task_id="is_cleared", workflow_id=LASTING, deferrable=True, priority_weight=3
    )
    NebulaExplorerRunWorkflowOperator(
        task_id="is_marked_failed", workflow_id=LASTING, deferrable=True, priority_weight=3
    )
    meet_every_refusal("{{ dag_run.conf['refused'] | tojson }}")

    # These leave what the search must find.
    plant(text=conf("planted"), seconds=conf("seconds"))
    NebulaExplorerWorkflowSensor(
        task_id="plant_in_trigger",
        workflow_id=AWAITED,
        name=conf("planted"),
        deferrable=True,
        timeout=20,
        priority_weight=2,
    )


# Paused until there is a connection.
@dag(schedule=watched_workflow_asset(AWAITED, "explorer", poll_interval=1), is_paused_upon_creation=True)
def every_event():
    @task
    def show(triggering_asset_events=None):
        log.info("%s", triggering_asset_events)

    show()


@dag(
    schedule=[watched_workflow_asset(1, name, poll_interval=1) for name in TROUBLES],
    is_paused_upon_creation=True,
)
def every_trouble():
    @task
    def never():
        pass

    never()


every_event()
every_trouble()
