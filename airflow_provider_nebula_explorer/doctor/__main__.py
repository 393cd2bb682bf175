# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python -m airflow_provider_nebula_explorer.doctor --conn-id ID``."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_nebula_explorer.doctor.examination import Examination, examine
from airflow_provider_nebula_explorer.doctor.findings import Verdict
from airflow_provider_nebula_explorer.doctor.options import parse, settings_of
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.report import Table, report_of

AS_ASSUMED, DIFFERS, NOT_EXAMINED, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine an Explorer, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parse(arguments)
    try:
        settings = settings_of(options, _warn)
        from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

        client = Client(settings)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever is wrong, it is said without a traceback
        return _fail(_first_line(error))
    progress = _Progress()
    try:
        prober = Prober(client.send, settings)
        examination = examine(prober, options.run, progress.show)
    finally:
        client.close()
        progress.clear()
    return _show(examination, prober, options.json)


class _Progress:
    """Says on stderr what is done: on a terminal in one line, else in a line each."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, name: str) -> None:
        """Say what is done next."""
        text = f"\r\033[K{name} …" if self._is_terminal else f"{name} …\n"
        sys.stderr.write(text)
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _show(examination: Examination, prober: Prober, file: Path | None) -> int:
    rows = examination.rows[:1] if examination.refusal else examination.rows
    is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    table = Table(shutil.get_terminal_size().columns, sys.stdout.encoding or "ascii", is_coloured=is_coloured)
    for line in table.lines(rows):
        print(line)  # noqa: T201 - what a person waits for
    counts = [examination.count(verdict) for verdict in Verdict]
    print("\n{} as assumed, {} different, {} not known.".format(*counts))  # noqa: T201
    if file is not None and not _write(file, examination):
        return NOT_EXAMINED
    return _status(examination, prober)


def _write(file: Path, examination: Examination) -> bool:
    try:
        text = json.dumps(report_of(examination.rows), indent=2, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        _fail(f"the report cannot be written: {error}")
        return False
    print(f"The report is in {file}.")  # noqa: T201
    return True


def _status(examination: Examination, prober: Prober) -> int:
    """Say what the table cannot, and return the exit status."""
    trial = examination.trial
    if trial is not None and trial.may_still_run:
        _warn(f"job {trial.job_id or 'of an unknown id'} was started and may still run")
    if examination.is_interrupted:
        return INTERRUPTED
    if examination.refusal:
        return _fail(examination.refusal)
    if prober.is_stopped:
        return _fail(f"Explorer stopped answering. {prober.trouble}")
    return DIFFERS if examination.count(Verdict.DIFFERS) else AS_ASSUMED


def _fail(text: str) -> int:
    _say(f"error: {text}")
    return NOT_EXAMINED


def _warn(text: str) -> None:
    _say(f"warning: {text}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
