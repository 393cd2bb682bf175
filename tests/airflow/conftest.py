# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
import warnings
from functools import lru_cache
from types import SimpleNamespace

import pytest
from deferral import WHOSE, run_to_its_end
from stand_ins import Crash, NoteInFolder, Store, TaskInstance, forget_secrets, ids

from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

with warnings.catch_warnings():
    # Airflow imports this in the middle of tests; old versions are warned there of what they depend on.
    warnings.simplefilter("ignore")
    import airflow.serialization.serialized_objects  # noqa: F401


@pytest.fixture(autouse=True, scope="session")
def one_api_server():
    """Let all tasks of ``dag.test()`` share Airflow's server in the process, as Airflow 3.3 itself does.

    Airflow 3.0 to 3.2 makes one for each task, which takes a second or two.
    """
    with pytest.MonkeyPatch.context() as patch:
        try:
            from airflow.sdk.execution_time import supervisor
        except ImportError:  # Airflow 2
            pass
        else:
            shared = lru_cache(maxsize=1)(supervisor.in_process_api_server)
            patch.setattr(supervisor, "in_process_api_server", shared)
        yield


@pytest.fixture(autouse=True)
def new_process(monkeypatch, tmp_path):
    """Begin as on a machine of its own: no secret is known, no login is shared."""
    forget_secrets()
    monkeypatch.setenv("AIRFLOW__NEBULA_EXPLORER__STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def ti():
    return TaskInstance()


@pytest.fixture
def context(ti):
    return {"ti": ti, "task_instance": ti}


class Clock:
    """Explorer's time: it goes on by a second with each request and not otherwise, so load does not matter.

    ``at_request`` is called with the number of requests before each.
    """

    def __init__(self):
        self.begun = time.time()
        self.emulator = None
        self.at_request = lambda number: None

    def __call__(self):
        number = self.emulator.count()
        self.at_request(number)
        return self.begun + number


@pytest.fixture
def explorer(monkeypatch):
    """An emulator with a connection to it, which ``set_connection`` changes, and its clock."""
    clock = Clock()
    clock.emulator = Emulator(clock=clock)
    with clock.emulator as emulator:

        def set_connection(**changes):
            connection = json.loads(emulator.airflow_connection)
            extra = {
                **connection["extra"],
                "job_url": "{base_url}/",
                "max_retries": 0,
                **changes.pop("extra", {}),
            }
            text = json.dumps({**connection, **changes, "extra": extra})
            monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", text)

        set_connection()
        yield SimpleNamespace(emulator=emulator, set_connection=set_connection, clock=clock)


@pytest.fixture
def emulator(explorer):
    return explorer.emulator


@pytest.fixture
def pauses(emulator, monkeypatch):
    """Pauses that take no time of ours, but of Explorer's; returns how long they were."""
    made = []

    def sleep(seconds):
        made.append(seconds)
        emulator.advance(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    return made


IN_AIRFLOW, IN_FOLDER = "Airflow's store", "state_dir"


@pytest.fixture(params=[IN_AIRFLOW, IN_FOLDER])
def store(request, tmp_path):
    """Where a task's note is: on Airflow 3.3, and before."""
    store = Store() if request.param == IN_AIRFLOW else NoteInFolder(tmp_path / "state")
    with store.watching():
        yield store


@pytest.fixture
def attempt(store):
    """Run one attempt of a task."""

    def attempt(number, *, max_tries=5, whose=None, **arguments):
        ti = TaskInstance(number, max_tries)
        vars(ti).update(whose or {})
        context = {"ti": ti, "task_instance": ti, **store.context}
        arguments = {"task_id": "t", "workflow_id": 5, "poll_interval": 0.1, **arguments}
        attempt.xcoms = ti.xcoms
        return run_to_its_end(lambda: NebulaExplorerRunWorkflowOperator(**arguments), context)

    return attempt


@pytest.fixture
def crashed(emulator, attempt, monkeypatch):
    """Have a first attempt die while it waits for its job, which does what ``plan`` says."""

    def crashed(plan, **arguments):
        def die(seconds):
            raise Crash

        emulator.plan(5, plan)
        with monkeypatch.context() as patched:
            patched.setattr(time, "sleep", die)
            with pytest.raises(Crash):
                attempt(1, **arguments)
        return ids(emulator)[-1]

    return crashed


@pytest.fixture
def no_listeners(monkeypatch):
    """No plugin listens to tasks, whatever is installed here."""
    from airflow.sdk.listener import ListenerManager

    monkeypatch.setattr(ListenerManager, "has_listeners", property(lambda _: False))


@pytest.fixture
def pushed(monkeypatch):
    """The XComs that triggers have pushed for the task ``deferral.WHOSE``."""
    from airflow.sdk.execution_time.xcom import XCom

    pushed = {}

    async def push(*, key, value, **whose):
        assert whose == WHOSE
        pushed[key] = value

    monkeypatch.setattr(XCom, "aset", push)
    return pushed


@pytest.fixture
def hook(explorer):
    with NebulaExplorerHook() as hook:
        yield hook
