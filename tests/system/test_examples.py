# SPDX-License-Identifier: Apache-2.0
"""The example DAGs, run by a real Airflow against a real Explorer: the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import ONLY_ON_AIRFLOW_3, dag_of, states_of

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

EXAMPLES = Path(__file__).parents[2] / "example_dags"

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours


def test_the_connection_works():
    ok, text = NebulaExplorerHook().test_connection()
    assert ok, text


@pytest.mark.parametrize("name", sorted({file.name for file in EXAMPLES.glob("*.py")} - ONLY_ON_AIRFLOW_3))
def test_an_example_succeeds(dags, name):
    run = dag_of(dags, name).test()
    states = states_of(run)
    assert set(states.values()) <= {"success", "skipped"}, states
    assert "success" in states.values()
