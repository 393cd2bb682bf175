# SPDX-License-Identifier: Apache-2.0
"""The run operator's ``input``, as templates, files and other tasks give it."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from airflow.providers.common.compat.sdk import DAG, XCOM_RETURN_KEY

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

PRODUCED = {"query_1": {"limit": 10, "vids": '"a", "b"'}}


@pytest.fixture
def started(emulator, context, ti, tmp_path):
    """Return the input with which Explorer starts a job, after Airflow has rendered the given one."""
    context["params"] = {"limit": 7}
    context["produced"] = PRODUCED
    emulator.plan(5, JobPlan(running=0))

    def started(given, *, reads_files_while_parsing=True, **dag_arguments):
        start = datetime(2026, 1, 1, tzinfo=timezone.utc)
        with DAG("d", start_date=start, schedule=None, template_searchpath=[str(tmp_path)], **dag_arguments):
            task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, input=given)
        if reads_files_while_parsing:
            task.resolve_template_files()
        task.render_template_fields(context)
        return emulator.input(task.execute(context))

    return started


@pytest.mark.parametrize("reads_files_while_parsing", [True, False])
@pytest.mark.parametrize("is_native", [True, False])
def test_a_json_file_is_read_and_rendered(started, tmp_path, reads_files_while_parsing, is_native):
    (tmp_path / "input.json").write_text('{"query_1": {"limit": {{ params.limit }}}}', encoding="utf-8")
    given = started(
        "input.json",
        reads_files_while_parsing=reads_files_while_parsing,
        render_template_as_native_obj=is_native,
    )
    assert given == {"query_1": {"limit": 7}}


def test_a_text_within_input_is_no_file(started):
    given = {"export_1": {"path": "out/{{ params.limit }}.json"}, "a.json": {"b.json": "c.json"}}
    assert started(given) == {"export_1": {"path": "out/7.json"}, "a.json": {"b.json": "c.json"}}


def test_a_file_that_is_missing_is_named(started):
    with pytest.raises(Exception, match=r"nowhere\.json"):
        started("nowhere.json")


def test_another_tasks_dict_in_a_text_template_is_refused_with_a_hint(started, emulator):
    with pytest.raises(NebulaExplorerConfigError, match=r"\| tojson"):
        started("{{ produced }}")
    assert emulator.jobs == []


def test_what_the_hint_proposes_works(started):
    assert started("{{ produced | tojson }}") == PRODUCED
    assert started("{{ produced }}", render_template_as_native_obj=True) == PRODUCED


def test_another_tasks_output_is_its_dict(emulator, context, ti):
    with DAG("d", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None):
        produce = NebulaExplorerRunWorkflowOperator(task_id="produce", workflow_id=5)
        task = NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, input=produce.output, wait_for_completion=False
        )
    ti.xcom_pull = lambda task_ids, key=XCOM_RETURN_KEY, **rest: json.loads(json.dumps(PRODUCED))
    context["expanded_ti_count"] = None  # Airflow 2 reads this, and calls that
    ti.get_relevant_upstream_map_indexes = lambda *args, **mapped: None
    task.render_template_fields(context)
    assert emulator.input(task.execute(context)) == PRODUCED
