# SPDX-License-Identifier: Apache-2.0
"""Searches for secrets, in many spellings, in all that an Airflow leaves: files, database, processes, API."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil
from cryptography.fernet import Fernet
from typing_extensions import Self
from whole_airflow import Airflow

Places = dict[str, bytes]


@dataclass(frozen=True, order=True)
class Trace:
    """A secret that was found."""

    place: str
    spelling: str


def spellings(secret: str) -> dict[str, bytes]:
    """Return the forms in which a secret may be written, each by a name."""
    raw = secret.encode()
    ascii_json = json.dumps(secret)[1:-1]
    texts = {
        "as it is": secret,
        "JSON": json.dumps(secret, ensure_ascii=False)[1:-1],
        "ASCII JSON": ascii_json,
        "JSON in JSON": json.dumps(ascii_json)[1:-1],
        "repr": repr(secret)[1:-1],
        "ascii": ascii(secret)[1:-1],
        "escaped": secret.encode("unicode_escape").decode(),
        "in a URL": quote(secret, safe=""),
        "in a path": quote(secret),
        "in a query": quote_plus(secret),
        "HTML": html.escape(secret),
        "hex": raw.hex(),
    }
    found = {name: text.encode() for name, text in texts.items()}
    for name, text in (("", raw), (" of JSON", json.dumps(secret, ensure_ascii=False)[1:-1].encode())):
        found |= {f"base64{name}, {shift}": _inside_base64(text, shift) for shift in range(3)}
        found |= {
            f"URL base64{name}, {shift}": _inside_base64(text, shift).translate(_URL_SAFE)
            for shift in range(3)
        }
    return found


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _inside_base64(raw: bytes, shift: int) -> bytes:
    """Return the part of a longer text's base64 that is this text's alone.

    :param shift: at which of the three possible offsets this text begins in the longer one.
    """
    whole = base64.b64encode(bytes(shift) + raw)
    begin = (shift * 8 + 5) // 6
    return whole[begin : (shift + len(raw)) * 8 // 6]


def spellings_of_password(login: str, password: str) -> dict[str, bytes]:
    """Return the forms of a password, of its account, and of the password's words, which need no escaping."""
    found = spellings(password)
    for name, account in (
        ("colon", f"{login}:{password}"),
        ("JSON", json.dumps([login, password], ensure_ascii=False, separators=(",", ":"))),
        ("ASCII JSON", json.dumps([login, password])),
    ):
        standard = base64.b64encode(account.encode()).rstrip(b"=")
        found |= {f"account, {name}": standard, f"account, {name}, URL": standard.translate(_URL_SAFE)}
    for word in re.findall(r"[A-Za-z0-9]{7,}", password):
        found |= {f"word {name}": text for name, text in spellings(word).items()}
    return found


def spellings_of_token(token: str) -> dict[str, bytes]:
    """Return the forms of a token's parts, which need no escaping; the first part is in all tokens."""
    _, payload, signature = token.split(".")
    inside = {f"payload, base64, {shift}": _inside_base64(payload.encode(), shift) for shift in range(3)}
    return {"payload": payload.encode(), "signature": signature.encode(), **inside}


def find(needles: dict[str, bytes], places: Places) -> list[Trace]:
    """Return where something was found, and in which spelling."""
    return sorted(
        Trace(place, name)
        for place, text in places.items()
        for name, needle in needles.items()
        if needle in text
    )


class Samples:
    """Collects what exists only for a while: processes' arguments and environments, triggers' arguments.

    A context: it takes samples while it is open.
    """

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self._found: defaultdict[str, set[bytes]] = defaultdict(set)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_over)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def places(self) -> Places:
        return {place: b"\n".join(texts) for place, texts in self._found.items()}

    def _sample_until_over(self) -> None:
        while not self._is_over.wait(1):
            for process in self._airflow.processes():
                self._sample(process)
            for place, text in _texts_of_database(self._airflow, ("trigger", "task_instance")):
                self._found[f"{place}, for a while"].add(text)

    def _sample(self, process: psutil.Process) -> None:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it has ended
                self._found[f"process {name}"].add(Path(f"/proc/{process.pid}/{name}").read_bytes())


def files(airflow: Airflow) -> Places:
    """Return all files, those of the database included, by their paths below Airflow's home."""
    return {
        f"file {path.relative_to(airflow.home)}": path.read_bytes()
        for path in airflow.home.rglob("*")
        if path.is_file()
    }


def database(airflow: Airflow) -> Places:
    """Return all texts of the database, by table and column; all but connections are decrypted."""
    columns: defaultdict[str, list[bytes]] = defaultdict(list)
    for place, text in _texts_of_database(airflow):
        columns[place].append(text)
    return {place: b"\n".join(texts) for place, texts in columns.items()}


def _texts_of_database(airflow: Airflow, tables: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    with airflow.database() as connection:
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in [name for (name,) in named if not tables or name in tables]:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, (str, bytes)) and value:
                        yield f"database {table}.{name}", _readable(airflow, table, value)


def _readable(airflow: Airflow, table: str, value: str | bytes) -> bytes:
    text = value.encode() if isinstance(value, str) else value
    if table == "connection" or not text.startswith(b"gAAAA"):
        return text
    return Fernet(airflow.fernet_key).decrypt(text)


def responses(airflow: Airflow, dag_id: str, run_id: str) -> Places:
    """Return the REST API's responses about a run, and about what belongs to no run."""
    run = f"/dags/{dag_id}/dagRuns/{run_id}"
    every = {"limit": 1000}
    tasks = airflow.request("GET", f"{run}/taskInstances", params=every)["task_instances"]
    paths = [run, "/eventLogs", "/connections", "/variables", "/assets/events", "/importErrors"]
    for task in tasks:
        path = f"{run}/taskInstances/{task['task_id']}"
        paths += [f"{path}/tries", f"{path}/xcomEntries", f"{path}/links"]
        paths += [f"{path}/logs/{attempt + 1}" for attempt in range(task["try_number"])]
    found = {f"response {path}": airflow.request("GET", path, params=every) for path in paths}
    found["response taskInstances"] = tasks
    return {place: json.dumps(response, ensure_ascii=False).encode() for place, response in found.items()}
