# SPDX-License-Identifier: Apache-2.0
"""Tries values from outside with a coverage-guided fuzzer: ``make fuzz``.

The first argument names the target; the others go to libFuzzer. ``tests/properties.py`` says what must be
true of every value; hypothesis tests it, too. This module turns bytes into values, in forms in which seeds
can be written by hand.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import atheris

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "tests"))

with atheris.instrument_imports(include=["airflow_provider_nebula_explorer", "email", "urllib", "ipaddress"]):
    import properties

    from airflow_provider_nebula_explorer.explorer.client.protocol import Response


def responses(data: bytes) -> None:
    """A response as HTTP writes it: the status, a line for each header, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    if status.isascii() and status.isdigit() and len(status) == 3:
        cookies = [line.partition(": ")[2] for line in lines if line.startswith("Set-Cookie: ")]
        properties.any_response_is_read_or_refused(Response(int(status), headers, body, cookies))


def servers(data: bytes) -> None:
    """A server's responses in turn, each as raw bytes, between lines of one ``%``; an empty one is true."""
    properties.any_lies_end_as_values_or_errors([lie or None for lie in data.split(b"\n%\n")])


def connections(data: bytes) -> None:
    """The fields of a connection, in JSON; ``extra`` is an object in it."""
    fields = _json(data)
    if isinstance(fields, dict):
        properties.any_connection_is_read_or_refused(fields)


def arguments(data: bytes) -> None:
    """An argument, in JSON; anything else is taken as text."""
    value = _json(data)
    properties.any_argument_is_taken_or_refused(data.decode("latin-1") if value is None else value)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


ODD = (
    *(
        None,
        True,
        0,
        -1,
        7,
        2.5,
        10**19,
        10**20,
        10**400,
        1e308,
        float("nan"),
        float("inf"),
        [],
        {},
        [[]],
        "",
    ),
    *("1", " 1", "1_000", "\uff11\uff12", "\u0663", "\u00b2", "9" * 400, "\ud800", "\n\x1b[31m", ":" * 400),
    *("..", "%2e%2e/x", "//evil", "\\\\evil", "a?b#c@d", "::1%\r\nX: y", "http://[::1]:1/", "a" * 2000),
    *(
        properties.PASSWORD,
        [properties.PASSWORD],
        40004000,
        40104001,
        2,
        "0001-01-01T00:00:00Z",
        1657593215000,
    ),
    json.loads("[" * 500 + "]" * 500),
)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Replace a value in the JSON, every other time: libFuzzer alone rarely produces valid JSON."""
    chance = random.Random(seed)
    head, gap, body = data.rpartition(b"\n\n")
    value = _json(body)
    if value is None or chance.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    changed = head + gap + json.dumps(_replace(value, chance)).encode()
    return changed if len(changed) <= max_size else bytes(atheris.Mutate(data, max_size))


def _replace(value: Any, chance: random.Random) -> Any:
    if not value or not isinstance(value, (dict, list)) or chance.random() < 0.1:
        return chance.choice(ODD)
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    changed = value.copy()
    changed[key] = _replace(value[key], chance)
    return changed


TARGETS = {target.__name__: target for target in (responses, servers, connections, arguments)}


def main() -> None:
    """Fuzz one target; inputs that led to new code stay in ``.fuzz``, and the next run starts with them."""
    name, *options = sys.argv[1:]
    found = FOLDER.parent / ".fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            "-max_len=4096",
            "-timeout=10",
            f"-dict={FOLDER / 'words.dict'}",
            f"-artifact_prefix={found.parent}/{name}-",
            *options,
            str(found),
            str(FOLDER / "seeds" / name),
        ],
        TARGETS[name],
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
