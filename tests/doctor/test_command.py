# SPDX-License-Identifier: Apache-2.0
"""The command line: what a user sees, and the exit status, whatever is at the other end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from own_explorer import ACCOUNT, OwnExplorer, refused, settings
from raw_server import RawServer

from airflow_provider_nebula_explorer.doctor.__main__ import main
from airflow_provider_nebula_explorer.doctor.checks import all_checks
from airflow_provider_nebula_explorer.doctor.examination import examine
from airflow_provider_nebula_explorer.doctor.options import PASSWORD_VARIABLE
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.report import FACTS, Table
from airflow_provider_nebula_explorer.emulator import Emulator, Fault
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

MODULE = "airflow_provider_nebula_explorer.doctor"


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, ACCOUNT.password)
    monkeypatch.setenv("COLUMNS", "160")


def doctor(url, *more):
    return main(["--url", url, "--login", "root", "--nebula-address", "10.0.0.9", *map(str, more)])


def marks(text):
    """Return the table's marks by the rows' names."""
    names = [check.name for check in all_checks()]
    return {
        name: line[0]
        for line in text.splitlines()
        for name in names
        if line[0:1] in ("✓", "✗", "?") and line[3:].startswith(f"{name}  ")
    }


def test_an_explorer_as_documented(capsys, tmp_path):
    with OwnExplorer().served() as url:
        status = doctor(url, "--json", tmp_path / "report.json")

    out, err = capsys.readouterr()
    assert status == 0
    assert set(marks(out)) == {check.name for check in all_checks()}
    assert set(marks(out).values()) == {"✓", "?"}
    assert "50 as assumed, 0 different, 9 not known." in out
    assert err.splitlines()[0] == "login …"
    assert "\033" not in out + err
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == ["package", "facts", "checks"]
    assert set(report["facts"]) == set(FACTS)
    assert {tuple(check) for check in report["checks"]} == {("name", "assumed", "seen", "verdict", "advice")}


def test_a_difference_is_said_in_words_with_its_advice(capsys, tmp_path):
    explorer = OwnExplorer()
    explorer.page_cap = 10
    with explorer.served() as url:
        status = doctor(url, "--json", tmp_path / "report.json")

    out = capsys.readouterr().out
    assert status == 1
    assert marks(out)["page cap"] == "✗"
    assert "✗  page cap: 10. Assumed: 100 jobs or more.\n   The package lives with it: a list takes" in out
    checks = json.loads((tmp_path / "report.json").read_text())["checks"]
    assert [check["name"] for check in checks if check["verdict"] == "differs"] == ["page cap"]


def test_a_job_is_started_watched_and_cancelled_where_the_user_wants_that(capsys):
    with Emulator(password=ACCOUNT.password) as emulator:
        status = doctor(emulator.url, "--run", "5")
    (job,) = emulator.jobs
    assert (status, job["status"], job["workflowId"]) == (0, 4, "5")
    assert marks(capsys.readouterr().out)["end of a cancelled job"] == "✓"


def test_a_login_for_which_there_is_no_room_is_no_login(capsys):
    with Emulator(password=ACCOUNT.password, max_clients=1) as emulator:
        Client(settings(base_url=emulator.url)).login()
        assert doctor(emulator.url) == 2
    out, err = capsys.readouterr()
    assert "HTTP 400, code 40004000 ErrBadRequest, no room for another login." in out
    assert "There is no idle connection now" in err
    assert emulator.count("connect") == 2, "one login, and one refused in a single encoding"


def test_airflow_is_not_needed_with_an_address():
    program = f"""
import sys
from {MODULE}.__main__ import main

sys.modules["airflow"] = None
main(["--url", "http://127.0.0.1:9", "--login", "root", "--nebula-address", "g"])
sys.exit(main(["--conn-id", "any"]))
"""
    ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "127.0.0.1:9/api-open/v1/connect: connection refused" in ran.stderr
    assert ran.stderr.splitlines()[-1] == "error: --conn-id needs Airflow, which is not installed: use --url."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--url", "http://graph", "--nebula-address", "g"],
            "login is ''; allowed: the name of a NebulaGraph account",
        ),
        (
            ["--url", "ftp://graph", "--login", "root", "--nebula-address", "g"],
            "host is 'ftp://graph'; allowed:",
        ),
        (["--url", "http://graph", "--login", "root"], "nebula_address is None; allowed:"),
    ],
)
def test_a_wrong_connection_is_named(capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--password", "hunter2"], "unknown: --password."),
        (["--password=hunter2"], "unknown: --password."),
        (["hunter2"], "an argument without an option"),
        (["--url", "http://graph", "--conn-id", "x"], "either --url or --conn-id, not both"),
        (["--conn-id", "x", "--nebula-address", "g"], "only with --url: --nebula-address"),
        (["--run", "../1"], "--run is '../1'; allowed: a whole number"),
    ],
)
def test_a_wrong_command_line_is_refused_and_no_password_is_shown(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert words in err
    assert "hunter2" not in err


def test_a_password_that_would_be_seen_is_not_read(capsys, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    monkeypatch.setattr("getpass.getpass", lambda prompt: (_ for _ in ()).throw(EOFError))
    assert doctor("http://graph:7002") == 2
    assert f"No password: set the variable {PASSWORD_VARIABLE}" in capsys.readouterr().err


def test_the_password_is_asked_for_after_the_other_options_are_checked(capsys, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE)
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or ACCOUNT.password)
    assert main(["--url", "http://graph:7002", "--login", "root"]) == 2
    assert asked == []
    with OwnExplorer().served() as url:
        assert doctor(url) == 0
    assert asked == ["NebulaGraph password: "]


def test_something_that_is_not_explorer(capsys):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
    with RawServer(page) as server:
        assert doctor(server.url) == 2
    assert "This is not Explorer: check the connection's host" in capsys.readouterr().err


def test_an_explorer_that_stops_answering_half_way(capsys):
    explorer = OwnExplorer()

    def break_off(asked, seen):
        if len(explorer.requests) > 15:
            raise ConnectionError
        return seen

    explorer.changes.append(break_off)
    with explorer.served() as url:
        status = doctor(url)

    out, err = capsys.readouterr()
    assert status == 2
    assert {"✓", "?"} == set(marks(out).values())
    assert "Explorer stopped answering" in out
    assert "error: Explorer stopped answering. GET http://127.0.0.1" in err.splitlines()[-1]
    assert len(explorer.requests) == 15 + 3


def test_an_explorer_that_forbids_everything(capsys):
    with Emulator(password=ACCOUNT.password) as emulator:
        for endpoint in ("*job*", "run_workflow"):
            emulator.fail(Fault("code", code=40304000, endpoint=endpoint, times=None))
        status = doctor(emulator.url, "--run", "5")
    out, err = capsys.readouterr()
    assert status == 0, out
    assert marks(out)["order"] == marks(out)["new job's id"] == "?"
    assert "HTTP 403, code 40304000" in out
    assert "may still run" not in err


def test_an_explorer_without_jobs(capsys):
    with Emulator(password=ACCOUNT.password) as emulator:
        status = doctor(emulator.url)
    out = capsys.readouterr().out
    assert status == 0
    assert marks(out)["ids"] == marks(out)["filter by name"] == "?"
    assert "no job has run yet: run a workflow, or use --run" in out


def test_an_overloaded_explorer_is_given_a_pause(capsys):
    explorer = OwnExplorer()
    prober = Prober(explorer.send, settings(), now=lambda: explorer.now, sleep=explorer.sleep)
    explorer.changes.append(
        lambda asked, seen: (
            type(seen)(503, {"Retry-After": "7"}, b"") if len(explorer.requests) in (7, 12) else seen
        )
    )
    began = explorer.now
    examination = examine(prober, None, lambda name: None)
    assert {row.finding.verdict.value for row in examination.rows} == {"ok", "unknown"}
    assert explorer.now - began > 14
    assert {row.finding.seen for row in examination.rows if row.finding.verdict.value == "unknown"} == {
        "needs --run"
    }


@pytest.mark.parametrize("number", [1, 15, 30])
def test_after_an_interruption_the_table_shows_what_was_made(number):
    explorer = OwnExplorer()

    def send(request):
        if len(explorer.requests) == number:
            explorer.requests.append(request)
            raise KeyboardInterrupt
        return explorer.send(request)

    examination = examine(
        Prober(send, settings(), now=lambda: explorer.now, sleep=explorer.sleep), None, lambda name: None
    )

    assert examination.is_interrupted
    assert len(examination.rows) == len(all_checks())
    assert examination.rows[-1].finding.seen == "interrupted"


def test_a_job_is_cancelled_where_the_user_interrupts():
    explorer = OwnExplorer()

    def sleep(seconds):
        if seconds == 1:
            raise KeyboardInterrupt
        explorer.sleep(seconds)

    examine(Prober(explorer.send, settings(), now=lambda: explorer.now, sleep=sleep), 5, lambda name: None)

    assert "stopped" in explorer.jobs[-1]


def test_a_job_that_may_still_run_is_named(capsys):
    class Uncancellable(OwnExplorer):
        def _cancel(self, job):
            return refused(40304000, "ErrForbidden")

    with Uncancellable().served() as url:
        doctor(url, "--run", "5")
    assert "warning: job 111 was started and may still run" in capsys.readouterr().err


def test_a_start_whose_response_is_lost_is_named(capsys):
    explorer = OwnExplorer()

    def send(request):
        response = explorer.send(request)
        if request.method == "POST" and request.path.endswith("/jobs"):
            raise NebulaExplorerConnectionError("lost")
        return response

    prober = Prober(send, settings(), now=lambda: explorer.now, sleep=explorer.sleep)
    examination = examine(prober, 5, lambda name: None)

    assert examination.trial.may_still_run
    assert [request.method for request in explorer.requests].count("POST") == 3, "two logins and a start"
    rows = {row.check.name: row.finding.seen for row in examination.rows}
    assert rows["new job's id"] == "add a job: no usable response"


def test_a_report_that_cannot_be_written(capsys, tmp_path):
    with OwnExplorer().served() as url:
        assert doctor(url, "--json", tmp_path / "none" / "report.json") == 2
    assert "error: the report cannot be written:" in capsys.readouterr().err


def test_marks_are_coloured_on_a_terminal_alone(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with OwnExplorer().served() as url:
        doctor(url)
        assert "\033[32m✓" in capsys.readouterr().out
        monkeypatch.setenv("NO_COLOR", "1")
        doctor(url)
        assert "\033" not in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no-such-encoding"])
@pytest.mark.parametrize("width", [10, 80, 200])
def test_a_table_can_be_written_everywhere(encoding, width):
    explorer = OwnExplorer()
    prober = Prober(explorer.send, settings(), now=lambda: explorer.now, sleep=explorer.sleep)
    rows = examine(prober, None, lambda name: None).rows
    lines = list(Table(width, encoding, is_coloured=False).lines(rows))
    assert [line[:2] for line in lines if line[:2].strip()].count("ok") == 50
    assert max(map(len, lines)) <= max(width, 68)
