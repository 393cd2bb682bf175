# SPDX-License-Identifier: Apache-2.0
"""Count logins: of tasks that each run in a process of their own, and of deferred waits in one triggerer.

The same run counts those of other providers, if they are installed and log in at all. It prints a table of
docs/performance.md, and what the key of a shared login costs.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from runs import LAYOUTS
from servers import FIRST_JOB, Child, serve
from triggerer import PRODUCTS, connect, host
from waiting import is_installed

TASKS = 20
TASKS_AT_ONCE = 4
WAITS = 100
SECONDS = 6.0

ASK_ONCE = {
    "ours": "airflow_provider_nebula_explorer.hooks.nebula_explorer NebulaExplorerHook get_job",
    "databricks, OAuth": "airflow.providers.databricks.hooks.databricks DatabricksHook get_run_state",
    "airbyte": "airflow.providers.airbyte.hooks.airbyte AirbyteHook get_job_status",
}
"""The module, class and method by which a task asks for a job's state."""


def run_task(product: str, port: int) -> None:
    """Do what a task does that asks for one job's state; run in a process of its own."""
    from importlib import import_module

    connect(product, port)
    PRODUCTS[product].prepare()
    module, hook, method = ASK_ONCE[product].split()
    getattr(getattr(import_module(module), hook)(), method)(FIRST_JOB)


def count_of_tasks(product: str, server: Child) -> int:
    def run(_: int) -> None:
        command = [sys.executable, __file__, product, str(port)]
        subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent)

    port, before = server.call("port"), server.call("counts").logins
    with ThreadPoolExecutor(TASKS_AT_ONCE) as pool:
        list(pool.map(run, range(TASKS)))
    return int(server.call("counts").logins - before)


def count_of_waits(product: str, server: Child) -> int:
    before = server.call("counts").logins
    with Child(host, product, server.call("port")) as triggerer:
        triggerer.call("start", LAYOUTS["alone"].waited(WAITS))
        time.sleep(SECONDS)
    return int(server.call("counts").logins - before)


@contextmanager
def server_of(product: str) -> Iterator[Child]:
    layout = LAYOUTS["alone"]
    with Child(serve, product, layout.all(WAITS), layout.max_page) as server:
        yield server


def rows() -> Iterator[tuple[object, ...]]:
    with server_of("ours") as server:
        yield "ours", count_of_tasks("ours", server), count_of_waits("ours", server)
    with server_of("ours") as server:
        os.environ["AIRFLOW__NEBULA_EXPLORER__STATE_DIR"] = os.devnull  # it is no folder
        yield "ours, nothing shared", count_of_tasks("ours", server), count_of_waits("ours", server)
    for peer in ASK_ONCE:
        if peer != "ours" and is_installed(PRODUCTS[peer].distribution):
            with server_of(peer) as server:
                yield peer, count_of_tasks(peer, server), count_of_waits(peer, server)


def cost_of_key() -> str:
    """Return what it takes to derive a key, as a process that shares a login does once."""
    from airflow_provider_nebula_explorer.explorer.client.login_file import derive_key

    memory, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    derive_key("stand-in-secret", os.urandom(16))
    milliseconds = 1000 * (time.process_time() - begun)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    return f"Deriving the key of a shared login: {milliseconds:.0f} ms of CPU, {grown:.0f} MiB"


def main() -> None:
    print(cost_of_key())
    with tempfile.TemporaryDirectory(prefix="nebula-explorer-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        print(
            f"| logins | of {TASKS} tasks, {TASKS_AT_ONCE} at a time | of {WAITS} deferred waits after that |"
        )
        print("|---|---|---|")
        for row in rows():
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        run_task(sys.argv[1], int(sys.argv[2]))
    else:
        main()
