# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from emulator_clients import JSON_ACCOUNT, Client, encoded

from airflow_provider_nebula_explorer.emulator.__main__ import (
    PASSWORD_VARIABLE,
    exposure,
    make_emulator,
    make_parser,
)

COMMAND = [sys.executable, "-m", "airflow_provider_nebula_explorer.emulator"]
ROOT = Path(__file__).parents[2]


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """An emulator on a free port: its process, its greeting and its address."""
    plans = tmp_path / "plans.json"
    plans.write_text(json.dumps({"12": {"name": "pagerank", "running": 60}}))
    arguments = ["--port", "0", "--encoding", "both", "--plans", str(plans)]
    arguments += ["--max-clients", "2", "--client-idle", "60", "--recycle-above", "1"]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(NEBULA_EXPLORER_EMULATOR_PASSWORD="s3cret"),
    ) as process:
        try:
            assert process.stdout is not None
            greeting = "".join(process.stdout.readline() for _ in range(4))
            address = re.search(r"http://127\.0\.0\.1:\d+", greeting)
            assert address
            yield process, greeting, address[0]
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_greets_prints_calls_without_secrets_and_ends_cleanly(
    started: tuple[subprocess.Popen[str], str, str], ending: signal.Signals
):
    process, greeting, address = started
    variable = re.search(r"^export AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT='(.*)'$", greeting, re.MULTILINE)
    assert variable
    assert f":{json.loads(variable[1])['port']}" in address

    header = {"Authorization": f"Bearer {encoded(JSON_ACCOUNT.replace('stand-in-secret', 's3cret'))}"}
    body = {"address": "graphd", "port": 9669}
    cookie = requests.post(f"{address}/api-open/v1/connect", json=body, headers=header, timeout=5).headers[
        "Set-Cookie"
    ]
    listed = requests.get(f"{address}/api-open/v1/jobs", headers={"Cookie": cookie}, timeout=5).json()["data"]
    requests.post(f"{address}/_emulator/jobs", json={"workflow_id": 12}, timeout=5)
    jobs = requests.get(f"{address}/_emulator/jobs", timeout=5).json()
    process.send_signal(ending)
    printed, _ = process.communicate(timeout=10)

    assert process.returncode == 0
    assert {item["workflowName"] for item in listed["items"]} == {"workflow_xkkjf"}
    assert jobs[-1]["workflowName"] == "pagerank"
    lines = [line.split(" ", 1)[1] for line in printed.splitlines()]
    assert lines == ["POST /api-open/v1/connect 200", "GET /api-open/v1/jobs 200"]


@pytest.mark.parametrize(
    ("arguments", "variable", "password"),
    [
        ([], None, "stand-in-secret"),
        ([], "", "stand-in-secret"),
        ([], "of-the-variable", "of-the-variable"),
        (["--password", "of-the-option"], "of-the-variable", "of-the-option"),
    ],
)
def test_the_password_comes_from_the_option_or_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variable: str | None, password: str
):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(PASSWORD_VARIABLE, variable)

    emulator = make_emulator(make_parser().parse_args(arguments))
    assert json.loads(emulator.airflow_connection)["password"] == password


def test_its_options_say_how_it_behaves(tmp_path: Path):
    report = tmp_path / "report.json"
    report.write_text('{"facts": {"account_encoding": "colon"}}')
    options = make_parser().parse_args(["--like", str(report), "--missing", "zero"])

    with make_emulator(options) as emulator, Client(emulator) as client:
        assert client.connect("root:stand-in-secret").status_code == 200
        assert client.get("/jobs/7").json()["data"]["id"] == 0


def test_its_help_shows_no_password_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "of-the-variable")

    assert PASSWORD_VARIABLE in make_parser().format_help()
    assert "of-the-variable" not in make_parser().format_help()


def test_its_options_limit_the_logins(started: tuple[subprocess.Popen[str], str, str]):
    _, _, address = started

    def connect() -> int:
        header = {"Authorization": f"Bearer {encoded('root:s3cret')}"}
        body = {"address": "graphd", "port": 9669}
        url = f"{address}/api-open/v1/connect"
        return requests.post(url, json=body, headers=header, timeout=5).status_code

    assert [connect() for _ in range(3)] == [200, 200, 400]
    requests.post(f"{address}/_emulator/advance", json={"seconds": 61}, timeout=5)
    assert [connect() for _ in range(2)] == [400, 200]


@pytest.mark.parametrize(
    ("arguments", "plans", "named"),
    [
        (["--port", "70000"], None, "port must be 0-65535"),
        (["--token-ttl", "0"], None, "token_ttl"),
        (["--journal", "."], None, "."),
        (["--like", "nowhere.json"], None, "nowhere.json"),
        (["--max-clients", "-1"], None, "max_clients is -1"),
        (["--plans", "plans.json"], None, "plans.json"),
        (["--plans", "plans.json"], "{", "plans.json"),
        (["--plans", "plans.json"], "[]", "a plans file is a JSON object"),
        (["--plans", "plans.json"], '{"12": {"runing": 1}}', "'runing'"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_1(
    tmp_path: Path, arguments: list[str], plans: str | None, named: str
):
    if plans is not None:
        (tmp_path / "plans.json").write_text(plans)
    options = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True, "timeout": 30}
    ended = subprocess.run([*COMMAND, "--port", "0", *arguments], check=False, **options)  # type: ignore[call-overload]

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1


WITHOUT_AIOHTTP = """
import sys
sys.modules["aiohttp"] = None
import airflow_provider_nebula_explorer.emulator as package
import airflow_provider_nebula_explorer.pytest_plugin
package.JobPlan, package.TaskPlan, package.Fault
try:
    package.Emulator
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_aiohttp_it_says_what_to_install_when_it_is_used():
    options = {"env": environment(), "capture_output": True, "text": True, "timeout": 30}
    ended = subprocess.run([sys.executable, "-c", WITHOUT_AIOHTTP], check=True, **options)  # type: ignore[call-overload]

    assert "pip install 'airflow-provider-nebula-explorer[emulator]'" in ended.stdout


IMPORTS = """
import sys
import airflow_provider_nebula_explorer.pytest_plugin
print(sorted(name for name in sys.modules if name.startswith("airflow_provider")))
from airflow_provider_nebula_explorer.emulator import Emulator
heavy = {"airflow", "requests", "httpx", "airflow_provider_nebula_explorer.explorer.client.api"}
print(sorted(heavy & {*sys.modules}))
"""


def test_the_plugin_loads_nothing_and_the_emulator_neither_airflow_nor_a_client():
    options = {"env": environment(), "capture_output": True, "text": True, "timeout": 30}
    ended = subprocess.run([sys.executable, "-c", IMPORTS], check=True, **options)  # type: ignore[call-overload]

    plugin, emulator = ended.stdout.splitlines()
    assert plugin == "['airflow_provider_nebula_explorer', 'airflow_provider_nebula_explorer.pytest_plugin']"
    assert emulator == "[]"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_an_address_of_this_machine_alone_gives_no_warning(host):
    assert exposure(host) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "graph.example.com", ""])
def test_an_address_that_others_reach_gives_a_warning(host):
    assert exposure(host).startswith(f"warning: others may reach {host!r}")
