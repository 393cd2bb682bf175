# SPDX-License-Identifier: Apache-2.0
"""What the pages say of Airflow's versions, where no other test here shows it."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path

import airflow
import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import DAG, conf
from airflow.triggers.base import BaseTrigger
from packaging.specifiers import SpecifierSet

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTINGS = re.compile(r"^\| `\[(\w+)\] (\w+)` \| ([\d.]+)", re.MULTILINE)

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours


def of_airflow(section, option):
    """Return an option's default; ``None`` if this Airflow has no such option."""
    return conf.get_default_value(section, option)


@pytest.mark.skipif(VERSION < (3, 3), reason="the page's defaults are those of Airflow 3.3")
def test_the_settings_of_large_installations_have_the_defaults_that_the_page_says():
    page = (ROOT / "docs" / "large-installations.md").read_text()
    listed = SETTINGS.findall(page)
    of_core = [entry for entry in listed if not entry[0].startswith("celery")]  # a provider's
    assert len(of_core) >= 10
    for section, option, default in of_core:
        assert float(of_airflow(section, option)) == float(default), option


@pytest.mark.skipif(VERSION >= (3, 0), reason="these are the names of Airflow 2")
def test_airflow_2_has_other_names_for_two_settings():
    assert of_airflow("scheduler", "scheduler_zombie_task_threshold") == "300"
    assert of_airflow("triggerer", "default_capacity") == "1000"


def test_airflow_has_state_stores_and_tells_triggers_of_a_kill_since_3_3():
    is_able = VERSION >= (3, 3)
    assert (of_airflow("state_store", "default_retention_days") is not None) == is_able
    assert hasattr(BaseTrigger, "on_kill") == is_able
    assert of_airflow("triggerer", "on_kill_timeout") == ("30" if is_able else None)


def has(place):
    """Say whether this Airflow has a name of a module."""
    module, _, name = place.rpartition(".")
    try:
        return hasattr(import_module(module), name)
    except ImportError:
        return False


@pytest.mark.parametrize(
    ("place", "since"),
    [
        ("airflow.sdk.AssetWatcher", (3, 0)),
        ("airflow.sdk.definitions.deadline.DeadlineAlert", (3, 1)),
        ("airflow.sdk.definitions.deadline.AsyncCallback", (3, 1)),
        ("airflow.sdk.DeadlineAlert", (3, 2)),
        ("airflow.sdk.SyncCallback", (3, 2)),
        ("airflow.sdk.RetryPolicy", (3, 3)),
    ],
)
def test_airflow_has_what_a_page_needs_since_the_version_that_it_names(place, since):
    assert has(place) == (since <= VERSION)


def test_a_dag_that_stops_at_its_first_failure_has_another_name_in_airflow_2():
    names = inspect.signature(DAG).parameters
    assert ("fail_fast" in names, "fail_stop" in names) == (VERSION >= (3, 0), VERSION < (3, 0))


def test_a_run_says_when_it_is_due_since_airflow_3():
    from airflow.models import DagRun

    assert hasattr(DagRun, "run_after") == (VERSION >= (3, 0))


@pytest.mark.skipif(VERSION < (3, 0), reason="the page says it of Airflow 3")
def test_the_examples_import_what_airflow_3_itself_has():
    from airflow.sdk import BaseOperator, dag, task

    assert (sdk.BaseOperator, sdk.dag, sdk.task) == (BaseOperator, dag, task)


def test_airflow_runs_on_the_pythons_that_are_supported_with_it():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    row = rf"^\| {VERSION[0]}\.{VERSION[1]} \| 3\.(\d+) to 3\.(\d+) \|"
    first, last = re.search(row, table, re.MULTILINE).groups()
    allowed = SpecifierSet(metadata("apache-airflow")["Requires-Python"])
    of_package = [minor for minor in range(10, 14) if f"3.{minor}" in allowed]
    assert of_package == list(range(int(first), int(last) + 1))


OF_AIRFLOW_3 = {
    page: block
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if re.search(r"^from airflow\.sdk import dag\b", block, re.MULTILINE)
}


@pytest.mark.parametrize("page", OF_AIRFLOW_3, ids=lambda page: page.name)
def test_the_dag_of_a_page_can_be_imported_as_the_page_says(page):
    source = OF_AIRFLOW_3[page]
    assert re.search(r"Airflow 2\.11.*airflow\.decorators", page.read_text(encoding="utf-8"))
    if VERSION < (3, 0):
        source = source.replace("from airflow.sdk import", "from airflow.decorators import")
    exec(compile(source, page.name, "exec"), {})


@pytest.mark.parametrize(("password", "is_masked"), [("qzxy", VERSION < (3, 0)), ("qzxyw", True)])
def test_airflow_3_masks_what_has_five_characters(explorer, password, is_masked):
    from airflow.providers.common.compat.sdk import redact

    explorer.set_connection(extra={"proxy": f"http://user:{password}@127.0.0.1:1"})
    with NebulaExplorerHook() as hook:
        hook.get_conn()
    assert redact(f"before {password} after") == (
        "before *** after" if is_masked else f"before {password} after"
    )
