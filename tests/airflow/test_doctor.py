# SPDX-License-Identifier: Apache-2.0
"""The doctor, with an Airflow connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from airflow_provider_nebula_explorer.doctor.__main__ import main
from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook


def test_a_refused_login_has_the_words_of_the_connections_test(capsys, monkeypatch, tmp_path):
    with Emulator() as emulator:
        connection = {**json.loads(emulator.airflow_connection), "password": "wrong-secret"}
        monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(connection))
        words = NebulaExplorerHook("wrong").test_connection()[1]
        status = main(["--conn-id", "wrong", "--json", str(tmp_path / "report.json")])

    out, err = capsys.readouterr()
    assert status == 2
    assert f"error: {words}" in err.splitlines()
    assert "✗  login: HTTP 400, code 40004000 ErrBadRequest." in out
    checks = json.loads((tmp_path / "report.json").read_text())["checks"]
    assert [(check["verdict"], check["seen"]) for check in checks[:2]] == [
        ("differs", "HTTP 400, code 40004000 ErrBadRequest"),
        ("unknown", "no login"),
    ]


def test_a_connection_is_found_wherever_airflow_keeps_it(tmp_path):
    # In a process of its own, with a database that has little else.
    program = """
import sys
from airflow import settings
from airflow.models import Connection
from airflow.models.base import Base
from airflow_provider_nebula_explorer.doctor.__main__ import main

tables = [table for name, table in Base.metadata.tables.items() if name in ("connection", "team")]
Base.metadata.create_all(settings.engine, tables)
with settings.Session() as session:
    session.add(Connection(uri=sys.argv[1], conn_id="stored"))
    session.commit()
sys.exit(main(["--conn-id", "stored"]))
"""
    with Emulator() as emulator:
        uri = f"nebula-explorer://root:stand-in-secret@127.0.0.1:{emulator.port}/?nebula_address=graphd"
        ran = subprocess.run(
            [sys.executable, "-c", program, uri],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"},
        )
    assert ran.returncode == 0, ran.stderr
    assert emulator.logins == 1


def test_a_connection_that_airflow_does_not_have(capsys):
    assert main(["--conn-id", "nobody_knows_it"]) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith("error: The conn_id `nobody_knows_it` isn't defined")
    )


def test_an_extra_field_that_means_nothing_is_warned_of(capsys, monkeypatch):
    with Emulator() as emulator:
        connection = json.loads(emulator.airflow_connection)
        connection["extra"]["nebula_adress"] = "x"
        monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(connection))
        assert main(["--conn-id", "odd"]) == 0
    warning = "warning: connection 'odd': extra 'nebula_adress' is unknown and is ignored"
    assert warning in capsys.readouterr().err.splitlines()
