# SPDX-License-Identifier: Apache-2.0
"""Measure what waiting costs: many deferred tasks in one triggerer, against servers on this machine.

The same run measures the triggers of other providers. It prints the tables of docs/performance.md, and which
limits are met. ``--only ours --jobs 1000`` measures one case.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version

from runs import LATENCY, LAYOUTS, TOGETHER, Case, Result, measure
from triggerer import INTERVAL, PRODUCTS

CASES = [
    *(Case("ours", jobs) for jobs in (100, 1000, 10_000)),
    *(Case(peer, jobs) for peer in ("dbt-cloud", "databricks") for jobs in (100, 1000)),
    Case("airbyte", 100),  # a thousand take eight minutes
    Case("ours", 1000, "capped"),
    *(Case("ours", 200, layout) for layout in ("middle", "spread", "foreign")),
]

Results = Mapping[Case, Result]
Row = Sequence[object]


def costs(results: Results) -> Iterator[Row]:
    head = "jobs | requests of the start | a poll | logins | TCP connections"
    yield "waiting", *head.split(" | "), "CPU s, start", "CPU s, waiting", "KiB a job"
    for case, result in results.items():
        start, waiting, counts = result.start, result.waiting, result.counts
        requests = start.requests, f"{waiting.requests_a_poll:.2f}", counts.logins, counts.connections
        memory = f"{start.memory / 1024 / case.jobs:.1f}"
        yield case, case.jobs, *requests, f"{start.cpu:.2f}", f"{waiting.cpu:.3f}", memory


def holds(results: Results) -> Iterator[Row]:
    names = ("start", "waiting", "finishing")
    head = [f"{name}, {part}" for name in names for part in ("p99", "longest")]
    yield "event loop held, ms", "jobs", *head, "longest garbage collection"
    for case, result in results.items():
        phases = result.start, result.waiting, result.ending
        seconds = [s for phase in phases for s in (phase.late, phase.longest)]
        yield case, case.jobs, *(f"{s * 1000:.1f}" for s in (*seconds, result.whole.collected))


def delays(results: Results) -> Iterator[Row]:
    some = f"{TOGETHER} together"
    head = ("1 job", f"{some}, median", "longest", "all others, median", "longest", "details a second")
    yield "seconds until the event", "jobs", *head, "lost, twice, early"
    for case, result in results.items():
        one, few, rest = result.waves
        seconds = (one.longest, few.median, few.longest, rest.median, rest.longest)
        wrong = ", ".join(f"{count} {name}" for name, count in result.wrong.items()) or "none"
        yield case, case.jobs, *(f"{s:.2f}" for s in seconds), f"{rest.rate:.0f}", wrong


def show(rows: Iterable[Row]) -> None:
    head, *body = rows
    for row in (head, ["---"] * len(head), *body):
        print(f"| {' | '.join(map(str, row))} |")
    print()


@dataclass(frozen=True)
class Limit:
    """The bounds of a figure."""

    what: str
    figure: Callable[[Result], float]
    most: float = float("inf")
    least: float = 0

    def verdict(self, result: Result) -> tuple[bool, str]:
        """Return whether a result meets it, and a line that says so."""
        figure = self.figure(result)
        is_kept = self.least <= figure <= self.most
        bound = f"at least {self.least:g}" if self.least else f"at most {self.most:.3g}"
        return is_kept, f"{'met' if is_kept else 'NOT MET'}: {self.what}: {figure:.3g}, {bound}"


WRONG = Limit("events lost, twice, early or failed", lambda result: result.wrong.total(), 0)
FEW_POLLS = Limit("requests a poll", lambda result: result.waiting.requests_a_poll, 1.2)

AMONG_MANY = (FEW_POLLS, Limit("requests of the start", lambda result: result.start.requests, 6))
LIMITS = {
    ("alone", 1000): (
        FEW_POLLS,
        Limit("loop held, s", lambda result: result.whole.longest, 0.25),
        Limit("loop held, p99, s", lambda result: result.whole.late, 0.02),
        Limit("logins", lambda result: result.counts.logins, 1),
        Limit("TCP connections", lambda result: result.counts.connections, 8),
        Limit("delay of 1 event, s", lambda result: result.waves[0].longest, INTERVAL + 0.5),
        Limit(f"delay of {TOGETHER} events, s", lambda result: result.waves[1].longest, INTERVAL + 0.5),
        Limit("details a second", lambda result: result.waves[2].rate, least=150),
    ),
    ("alone", 10_000): (
        Limit("requests a poll", lambda result: result.waiting.requests_a_poll, 12),
        # A full collection is mostly over Airflow's own objects, whatever we do.
        Limit(
            "loop held beyond the longest garbage collection, s",
            lambda result: result.whole.longest - result.whole.collected,
            0.05,
        ),
    ),
    ("middle", 200): AMONG_MANY,
    ("spread", 200): AMONG_MANY,
}


def limits(results: Results) -> Iterator[tuple[bool, str]]:
    """Yield for each limit whether the results meet it, and a line that says so."""
    for case, result in results.items():
        if case.product == "ours":
            for limit in (WRONG, *LIMITS.get((case.layout, case.jobs), ())):
                is_kept, line = limit.verdict(result)
                yield is_kept, f"{case.jobs} jobs, {case}: {line}"
    yield from beside_peers(results)


def beside_peers(results: Results) -> Iterator[tuple[bool, str]]:
    ours = results.get(Case("ours", 1000))
    peers = [r.waiting.cpu for case, r in results.items() if case.product != "ours" and case.jobs == 1000]
    if ours and peers:
        limit = Limit(
            "CPU s while waiting, of the best peer's fortieth",
            lambda result: result.waiting.cpu,
            min(peers) / 40,
        )
        yield limit.verdict(ours)


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="nebula-explorer-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        results = {case: measure(case, options.seconds) for case in chosen(options)}
    for table in (costs, holds, delays):
        show(table(results))
    print(f"{machine()} Waiting: {options.seconds:g} s.\n")
    verdicts = list(limits(results))
    print("\n".join(f"- {line}" for _, line in verdicts))
    sys.exit(not all(is_kept for is_kept, _ in verdicts))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PRODUCTS, default=list(PRODUCTS))
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=[])
    parser.add_argument("--jobs", nargs="+", type=int, default=[])
    parser.add_argument("--seconds", type=float, default=21.0, help="of waiting; %(default)s")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the cases that the options select; ``--jobs`` also takes numbers that are not in ``CASES``."""
    products = [name for name in options.only if is_installed(PRODUCTS[name].distribution)]
    if options.jobs:
        layouts = options.layout or ["alone"]
        return itertools.starmap(Case, itertools.product(products, options.jobs, layouts))
    layouts = options.layout or LAYOUTS
    return (case for case in CASES if case.product in products and case.layout in layouts)


def is_installed(name: str) -> bool:
    return any(distributions(name=name))


def machine() -> str:
    """Return what the figures depend on besides the code."""
    packages = {"Airflow": "apache-airflow"} | {name: it.distribution for name, it in PRODUCTS.items()}
    versions = ", ".join(f"{name} {version(it)}" for name, it in packages.items() if is_installed(it))
    cores = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    waits = f"a poll each {INTERVAL:g} s; responses take {LATENCY * 1000:g} ms from when jobs finish"
    return f"Taken on {cores}: {versions}; {waits}."


if __name__ == "__main__":
    main()
