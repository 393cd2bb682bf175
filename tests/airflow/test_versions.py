# SPDX-License-Identifier: Apache-2.0
"""What the pages say of Airflow's versions, where no other test here shows it."""

from __future__ import annotations

import re
from pathlib import Path

import airflow
import pytest
from airflow.providers.common.compat.sdk import conf

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])
ROOT = Path(__file__).parents[2]
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
def test_airflow_2_has_other_names_for_two_settings_and_no_state_store():
    assert of_airflow("scheduler", "scheduler_zombie_task_threshold") == "300"
    assert of_airflow("triggerer", "default_capacity") == "1000"
    assert of_airflow("state_store", "default_retention_days") is None


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/emulator.md"])
def test_the_first_dag_of_a_page_can_be_imported(page):
    source = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[1]
    assert "\nfrom airflow.sdk import dag" in source
    if VERSION < (3, 0):  # as the pages say
        source = source.replace("airflow.sdk", "airflow.decorators")
    exec(compile(source, page, "exec"), {})


@pytest.mark.parametrize(("password", "is_masked"), [("qzxy", VERSION < (3, 0)), ("qzxyw", True)])
def test_airflow_3_masks_what_has_five_characters(explorer, password, is_masked):
    from airflow.providers.common.compat.sdk import redact

    explorer.set_connection(extra={"proxy": f"http://user:{password}@127.0.0.1:1"})
    with NebulaExplorerHook() as hook:
        hook.get_conn()
    assert redact(f"before {password} after") == (
        "before *** after" if is_masked else f"before {password} after"
    )
