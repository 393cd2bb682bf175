"""Ends a task's first attempt, as a lost machine would, at one named step: SIGKILL leaves it no last word.

A death is a text: ``before``, ``amid`` or ``after``, a step, and where it is not the first such step its
number: ``after xcom job``, ``before note 2``. The steps are what a task says to Explorer (``list``,
``start``, ``look``) and to Airflow (``note``, ``xcom KEY``, ``deferral``, ``success``), and ``resume``, the
begin of what comes after a deferral. They are seen where they leave the process: in the libraries, not in the
provider.
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
"""How long after its begin a death amid a step comes."""

_REQUESTS = (
    ("GET", r"/workflows/\d+/jobs$", "list"),
    ("POST", r"/workflows/\d+/jobs$", "start"),
    ("GET", r"/jobs/\d+$", "look"),
)
_MESSAGES = {"SetTaskStateStore": "note", "DeferTask": "deferral", "SucceedTask": "success"}


class Death:
    """What will end this process.

    :param text: when it comes.
    :param certificate: the file that says that it came, and when.
    :param takes_parent: whether the process that watches over this one dies with it.
    """

    def __init__(self, text: str, certificate: Path, *, takes_parent: bool) -> None:
        self._moment, _, step = text.partition(" ")
        numbered = re.fullmatch(r"(.*) (\d+)", step)
        self._step, self._number = (numbered[1], int(numbered[2])) if numbered else (step, 1)
        self._text = text
        self._certificate = certificate
        self._takes_parent = takes_parent
        self._seen: Counter[str] = Counter()

    def waits_in(self, owner: type, name: str, step_of) -> None:
        """Let it come where this process passes a method of a library."""
        method = getattr(owner, name)

        @functools.wraps(method)
        def deadly(*args, **kwargs):
            step = step_of(*args, **kwargs)
            self.meets("before", step)
            answer = method(*args, **kwargs)
            self.meets("after", step)
            return answer

        setattr(owner, name, deadly)

    def meets(self, moment: str, step: str | None) -> None:
        """Let it come, if it is time."""
        if step != self._step or moment == ("before" if self._moment == "after" else "after"):
            return
        self._seen[step] += 1
        if self._seen[step] != self._number:
            return
        if self._moment == "amid":
            threading.Timer(SECONDS_INTO, self._come).start()
        else:
            self._come()

    def _come(self) -> None:
        self._certificate.write_text(self._text)
        if self._takes_parent:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def arm(context) -> None:
    """Lay out the death that a run's conf names, where this is the attempt that shall die."""
    conf, ti = context["dag_run"].conf, context["ti"]
    if not conf.get("death") or ti.try_number > 1:
        return
    death = Death(conf["death"], Path(conf["certificate"]), takes_parent=conf.get("takes_parent", False))
    if ti._ti_context_from_server.next_method:
        death.meets("before", "resume")
    death.waits_in(requests.Session, "request", _step_of_request)
    death.waits_in(CommsDecoder, "send", _step_of_message)


def _step_of_request(_session, method, url, **_kwargs) -> str | None:
    found = (step for verb, path, step in _REQUESTS if verb == method and re.search(path, url.split("?")[0]))
    return next(found, None)


def _step_of_message(_comms, msg) -> str | None:
    return f"xcom {msg.key}" if msg.type == "SetXCom" else _MESSAGES.get(msg.type)
