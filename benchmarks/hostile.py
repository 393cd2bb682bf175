# SPDX-License-Identifier: Apache-2.0
"""Measure what a hostile Explorer costs the waits of an honest one, in the same triggerer.

It prints the table of docs/reliability.md: for each way to do harm, and for all at once, how late the event
loop is, and how late the events of the honest Explorer's jobs come. ``--only "gzip bombs"`` measures one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"  # also for the emulator's process
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from bad_explorer import ALL, WAYS, BadExplorer  # noqa: E402
from neighbours import Neighbours, connections  # noqa: E402
from served import Explorer  # noqa: E402

from airflow_provider_nebula_explorer.emulator import JobPlan  # noqa: E402

SECONDS = 10
JOBS = 60
HEAD = "the other Explorer sends | loop late, ms, p99 | longest | honest events late, s, median | longest | "
HEAD += "hostile requests | logins | MiB at most"


def measure(name: str, ways: Sequence[str]) -> None:
    """Run a triggerer, in a process of its own, and print its row."""
    logging.disable(logging.WARNING)  # in a triggerer, a thread writes the log
    explorer, neighbours = Explorer(), Neighbours()
    # As in a triggerer that has run for a while; collections of Airflow's own objects are in performance.md.
    importlib.import_module("airflow_provider_nebula_explorer.explorer.client.async_client")
    gc.collect()
    gc.freeze()
    with BadExplorer(ways) as bad, tempfile.TemporaryDirectory() as folder:
        os.environ.update(connections(explorer.served.begin(1), bad.url, folder))
        ends = [1 + (SECONDS - 1) * number / JOBS for number in range(JOBS)]
        job_ids = explorer.served.start_jobs(5, [JobPlan(preparing=0, running=end) for end in ends])
        begun = time.monotonic()
        asyncio.run(neighbours.run({job_id: begun + end for job_id, end in zip(job_ids, ends, strict=True)}))
        counts = bad.counts()
    explorer.close()
    late, lag = sorted(neighbours.late.values()), neighbours.lag
    assert len(late) == len(job_ids), "an event is missing"
    assert neighbours.unsuccessful == []
    milliseconds = f"{lag.percentile(0.99) * 1000:.0f} | {lag.longest * 1000:.0f}"
    seconds = f"{late[len(late) // 2]:.2f} | {late[-1]:.2f}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"| {name} | {milliseconds} | {seconds} | {counts['requests']} | {counts['logins']} | {memory} |")


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one of the ways")
    only = parser.parse_args().only
    rows = {**{name: [name] for name in WAYS}, "all of it": ALL}
    print(f"| {HEAD} |\n|{' --- |' * HEAD.count(' | ')} --- |", flush=True)
    context = multiprocessing.get_context("spawn")
    for name in [only] if only else rows:
        process = context.Process(target=measure, args=(name, rows[name]))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
