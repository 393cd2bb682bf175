# SPDX-License-Identifier: Apache-2.0
"""Measure one case of waiting: start the triggers, let them wait, let their jobs finish."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from servers import FIRST_JOB, RUNNING, SUCCESS, Child, Counts, Job, serve
from triggerer import INTERVAL, Event, Snapshot, host

LATENCY = 0.02
TOGETHER = 50
PATIENCE = 120.0
SETTLING = 0.5


@dataclass(frozen=True)
class Layout:
    """Which jobs a server has.

    :param title: what it is called in the tables.
    :param among: how many jobs there are at least, awaited ones included.
    :param is_spread: whether the awaited jobs are spread evenly; otherwise they are in a row in the middle.
    :param others: the status of the other jobs; if those run, they are of other workflows.
    :param max_page: how many jobs the server shows on a page at most.
    """

    title: str = ""
    among: int = 0
    is_spread: bool = False
    others: int = SUCCESS
    max_page: int = 1000

    def waited(self, jobs: int) -> list[int]:
        """Return the jobs that are waited for."""
        total = max(self.among, jobs)
        step = total // jobs if self.is_spread else 1
        first = FIRST_JOB + (total - jobs * step) // 2
        return list(range(first, first + jobs * step, step))

    def all(self, jobs: int) -> list[Job]:
        """Return the jobs of the server."""
        waited = set(self.waited(jobs))
        ids = range(FIRST_JOB, FIRST_JOB + max(self.among, jobs))
        return [self._job(job_id, is_waited=job_id in waited) for job_id in ids]

    def _job(self, job_id: int, *, is_waited: bool) -> Job:
        is_foreign = not is_waited and self.others == RUNNING
        return Job(job_id, 1 + job_id % 10 + 10 * is_foreign, RUNNING if is_waited else self.others)


LAYOUTS = {
    "alone": Layout(),
    "capped": Layout("pages of 100", max_page=100),
    "middle": Layout("in a row among 10,000, others final", 10_000),
    "spread": Layout("spread over 10,000, others final", 10_000, is_spread=True),
    "foreign": Layout("spread over 10,000, others running", 10_000, is_spread=True, others=RUNNING),
}


@dataclass(frozen=True)
class Case:
    """What is measured in one go."""

    product: str
    jobs: int
    layout: str = "alone"

    def __str__(self) -> str:
        title = LAYOUTS[self.layout].title
        return f"{self.product}, {title}" if title else self.product


@dataclass(frozen=True)
class Phase:
    """What one phase cost.

    :param held: how long each pass of the event loop took, in seconds.
    :param collected: the longest garbage collection, in seconds.
    """

    seconds: float
    cpu: float
    memory: int
    requests: int
    held: Sequence[float]
    collected: float

    def __add__(self, other: Phase) -> Phase:
        return Phase(
            seconds=self.seconds + other.seconds,
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            requests=self.requests + other.requests,
            held=[*self.held, *other.held],
            collected=max(self.collected, other.collected),
        )

    @property
    def requests_a_poll(self) -> float:
        return self.requests * INTERVAL / self.seconds

    @property
    def longest(self) -> float:
        """The longest pass of the event loop, in seconds."""
        return max(self.held, default=0.0)

    @property
    def late(self) -> float:
        """The 99th percentile of how long a task that becomes ready at a random moment waits for its turn.

        In a pass of ``h`` seconds, a task waits for more than ``x`` if it becomes ready in the first
        ``h - x`` of them. So over all passes, the moments with a longer wait make up
        ``sum(max(h - x, 0))`` seconds. This returns the ``x`` for which they are a hundredth of all time.
        """
        total, found = -self.seconds / 100, 0.0
        for count, longest in enumerate(sorted(self.held, reverse=True), 1):
            total += longest
            found = max(found, total / count)
        return found


@dataclass(frozen=True)
class Wave:
    """Jobs that finished together.

    :param delays: how long after that each event came, in seconds.
    :param rate: requests for details per second.
    """

    delays: Sequence[float]
    rate: float

    @property
    def median(self) -> float:
        return statistics.median(self.delays) if self.delays else float("inf")

    @property
    def longest(self) -> float:
        return max(self.delays, default=float("inf"))


@dataclass(frozen=True)
class Result:
    """What a case cost, in its three phases; ``wrong`` counts faulty events by their fault."""

    start: Phase
    waiting: Phase
    ending: Phase
    waves: Sequence[Wave]
    counts: Counts
    wrong: Counter[str]

    @property
    def whole(self) -> Phase:
        return self.start + self.waiting + self.ending


class Run:
    """Measures one case, with a server and a triggerer of its own."""

    def __init__(self, case: Case, server: Child, triggerer: Child) -> None:
        self._job_ids = LAYOUTS[case.layout].waited(case.jobs)
        self._server = server
        self._triggerer = triggerer
        self._finished: dict[int, float] = {}
        self._events: list[Event] = []
        self._rates: list[float] = []

    def result(self, seconds: float) -> Result:
        """Start the triggers, let them wait, then let their jobs finish."""
        start = self._phase(self._start)
        waiting = self._phase(lambda: time.sleep(seconds))
        ending = self._phase(self._end)
        waves = [Wave(self._delays(ids), rate) for ids, rate in zip(self._groups(), self._rates, strict=True)]
        return Result(start, waiting, ending, waves, self._server.call("counts"), self._wrong())

    def _phase(self, act: Callable[[], None]) -> Phase:
        before, counts_before = self._moment()
        act()
        after, counts_after = self._moment()
        return Phase(
            seconds=after.moment - before.moment,
            cpu=after.cpu - before.cpu,
            memory=after.memory - before.memory,
            requests=counts_after.requests - counts_before.requests,
            held=after.held,
            collected=after.collected,
        )

    def _moment(self) -> tuple[Snapshot, Counts]:
        return self._triggerer.call("snapshot"), self._server.call("counts")

    def _start(self) -> None:
        self._triggerer.call("start", self._job_ids)
        patiently(lambda: self._triggerer.call("running") == len(self._job_ids))
        patiently(lambda: self._server.call("has_shown", self._job_ids))
        time.sleep(SETTLING)

    def _end(self) -> None:
        self._server.call("respond_after", LATENCY)
        self._rates = [self._wave(job_ids) for job_ids in self._groups()]
        time.sleep(SETTLING)  # a superfluous event would come now
        self._collect()

    def _groups(self) -> Iterator[Sequence[int]]:
        """Yield one job, then some, then all others, each time chosen at random."""
        job_ids = random.Random(0).sample(self._job_ids, len(self._job_ids))
        yield job_ids[:1]
        yield job_ids[1 : TOGETHER + 1]
        yield job_ids[TOGETHER + 1 :]

    def _wave(self, job_ids: Sequence[int]) -> float:
        """Let jobs finish together, and return the rate of requests for details then."""
        moment = self._server.call("finish", job_ids)
        self._finished.update(dict.fromkeys(job_ids, moment))
        patiently(lambda: self._collect() >= len(self._finished))
        rate: float = self._server.call("details_per_second")
        return rate

    def _delays(self, job_ids: Collection[int]) -> list[float]:
        mine = set(job_ids)
        return [event.moment - self._finished[event.job_id] for event in self._events if event.job_id in mine]

    def _collect(self) -> int:
        self._events += self._triggerer.call("events", len(self._events))
        return len(self._events)

    def _wrong(self) -> Counter[str]:
        came = Counter(event.job_id for event in self._events)
        failures = self._triggerer.call("failures")
        for text in failures[:3]:
            print(text, file=sys.stderr)
        return +Counter(
            lost=len(self._finished.keys() - came.keys()),
            twice=came.total() - len(came),
            early=sum(event.moment < self._finished[event.job_id] for event in self._events),
            failures=len(failures),
        )


def patiently(is_done: Callable[[], bool]) -> None:
    """Return when it is done, or when that takes too long; the result then shows what is missing."""
    end = time.monotonic() + PATIENCE
    while not is_done() and time.monotonic() < end:
        time.sleep(0.1)


def measure(case: Case, seconds: float) -> Result:
    print(f"{case.jobs} jobs: {case} ...", file=sys.stderr, flush=True)
    layout = LAYOUTS[case.layout]
    with (
        Child(serve, case.product, layout.all(case.jobs), layout.max_page) as server,
        Child(host, case.product, server.call("port")) as triggerer,
    ):
        return Run(case, server, triggerer).result(seconds)
