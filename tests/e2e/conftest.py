"""A whole Airflow for all tests here, and DAG runs whose stories are told at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from parts import running
from runs import Run, Story
from whole_airflow import Airflow

DAGS = Path(__file__).with_name("dags")
DAG_IDS = {"in_worker", "deferred", "in_worker_limited", "deferred_limited", "on_success"}
AT_ONCE = 12
"""How many stories are told at the same time: more would starve Airflow's parts, which then kill tasks."""


class Stories:
    """Tells stories, many at once: each has its run, and its Explorer."""

    def __init__(self, airflow: Airflow, stories: list[Story]) -> None:
        self._runs = {story: Run(airflow, story) for story in stories}
        self._told: dict[Story, Future[None]] = {}

    def tell(self, threads: ThreadPoolExecutor) -> None:
        """Begin all of them."""
        self._told = {story: threads.submit(story.tell, run) for story, run in self._runs.items()}

    def run(self, story: Story) -> Run:
        """Return the run of a story, once that has been told."""
        self._told[story].result()
        return self._runs[story]

    def wait(self) -> None:
        """Wait until all have been told."""
        wait(self._told.values())

    def close(self) -> None:
        """End what they used."""
        for run in self._runs.values():
            run.explorer.stop()


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    with running(Airflow(DAGS, DAG_IDS)) as whole:
        yield whole


@pytest.fixture(scope="session")
def stories(request: pytest.FixtureRequest, airflow: Airflow) -> Iterator[Stories]:
    """The stories of all tests that were asked for."""
    cases = (getattr(item, "callspec", None) for item in request.session.items)
    stories = Stories(airflow, [case.params["run"] for case in cases if case and "run" in case.params])
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="story") as threads:
        stories.tell(threads)
        try:
            yield stories
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            airflow.stop()  # so that no story goes on
    stories.close()


@pytest.fixture
def alone(airflow: Airflow, stories: Stories) -> Airflow:
    """Airflow, when no story is told any more that an outage could touch."""
    stories.wait()
    return airflow


@pytest.fixture
def run(request: pytest.FixtureRequest, stories: Stories) -> Run:
    """A run whose story has been told."""
    return stories.run(request.param)
