# SPDX-License-Identifier: Apache-2.0
"""Where errors live, and of which classes they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer import exceptions, final_errors

PACKAGE = Path(__file__).parents[2] / "airflow_provider_nebula_explorer"


@pytest.mark.parametrize(
    "name",
    [
        "NebulaExplorerFinalAmbiguousSubmitError",
        "NebulaExplorerFinalJobError",
        "NebulaExplorerTaskKilledError",
    ],
)
def test_the_errors_that_are_airflows_too_are_exported_with_the_others(name):
    assert getattr(exceptions, name) is getattr(final_errors, name)


def test_another_name_is_no_error_of_ours():
    with pytest.raises(AttributeError, match="no attribute 'NebulaExplorerOtherError'"):
        _ = exceptions.NebulaExplorerOtherError


def test_the_other_errors_are_read_without_airflow():
    code = (
        "import sys; from airflow_provider_nebula_explorer.exceptions import NebulaExplorerJobError; "
        "assert 'airflow' not in sys.modules; "
        "from airflow_provider_nebula_explorer.exceptions import NebulaExplorerFinalJobError; "
        "assert issubclass(NebulaExplorerFinalJobError, NebulaExplorerJobError)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_no_error_is_a_bare_one_of_airflow():
    raised = {
        f"{path.name}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"AirflowException", "Exception"}
    }
    assert raised == set()
