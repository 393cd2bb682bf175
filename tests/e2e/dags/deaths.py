# SPDX-License-Identifier: Apache-2.0
"""Kills a task's first attempt at a named step, as if its machine were lost: SIGKILL lets no code run.

A death is a text: ``before``, ``amid`` or ``after``; a step; and its number, unless it is the first such
step: ``after xcom job``, ``before note 2``. The steps are the task's requests to Explorer (``login``,
``list``, ``start``, ``get``), its messages to Airflow (``note``, ``xcom KEY``, ``deferral``, ``success``),
and ``resume``, the begin of the part after a deferral. Before Airflow 3.3, a ``note`` is
a file. They are detected where they leave the process: in the libraries, not in the provider.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import requests
from airflow.sdk.execution_time.comms import CommsDecoder

SECONDS_INTO = 1.0
"""How long after the begin of a step a death ``amid`` it comes."""

_REQUESTS = (
    ("POST", r"/connect$", "login"),
    ("GET", r"/workflows/\d+/jobs$", "list"),
    ("POST", r"/workflows/\d+/jobs$", "start"),
    ("GET", r"/jobs/\d+$", "get"),
)
_MESSAGES = {"SetTaskStateStore": "note", "DeferTask": "deferral", "SucceedTask": "success"}


class Death:
    """What will kill this process.

    :param text: at which step.
    :param certificate: a file that gets the text when the process is killed.
    :param takes_parent: whether this process's supervisor is killed, too.
    """

    def __init__(self, text: str, certificate: Path, *, takes_parent: bool) -> None:
        self._moment, _, step = text.partition(" ")
        numbered = re.fullmatch(r"(.*) (\d+)", step)
        self._step, self._number = (numbered[1], int(numbered[2])) if numbered else (step, 1)
        self._text = text
        self._certificate = certificate
        self._takes_parent = takes_parent
        self._passed: Counter[str] = Counter()

    def patch(self, owner: object, name: str, step_of) -> None:
        """Replace a function of a library by one that dies at the step, if the step is in it."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def deadly(*args, **kwargs):
            step = step_of(*args, **kwargs)
            self.come_if_due("before", step)
            result = function(*args, **kwargs)
            self.come_if_due("after", step)
            return result

        setattr(owner, name, deadly)

    def come_if_due(self, moment: str, step: str | None) -> None:
        """Kill the process, if this is the moment and the step."""
        if step != self._step or moment == ("before" if self._moment == "after" else "after"):
            return
        self._passed[step] += 1
        if self._passed[step] != self._number:
            return
        if self._moment == "amid":
            threading.Timer(SECONDS_INTO, self._kill).start()
        else:
            self._kill()

    def _kill(self) -> None:
        self._certificate.write_text(self._text)
        if self._takes_parent:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def arm(context) -> None:
    """Prepare the death that a run's conf names, if this is the first attempt."""
    conf, ti = context["dag_run"].conf, context["ti"]
    if not conf.get("death") or ti.try_number > 1:
        return
    death = Death(conf["death"], Path(conf["certificate"]), takes_parent=conf.get("takes_parent", False))
    if ti._ti_context_from_server.next_method:
        death.come_if_due("before", "resume")
    death.patch(requests.Session, "request", _step_of_request)
    death.patch(CommsDecoder, "send", _step_of_message)
    death.patch(os, "rename", _step_of_file)


def _step_of_request(_session, method, url, **_kwargs) -> str | None:
    found = (step for verb, path, step in _REQUESTS if verb == method and re.search(path, url.split("?")[0]))
    return next(found, None)


def _step_of_message(_comms, msg) -> str | None:
    return f"xcom {msg.key}" if msg.type == "SetXCom" else _MESSAGES.get(msg.type)


def _step_of_file(_source, target, **_folders) -> str | None:
    return "note" if str(target).endswith(".note") else None
