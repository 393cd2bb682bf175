# SPDX-License-Identifier: Apache-2.0
"""Measure what the package costs: importing it in a DAG file, one get-job task, a thousand calls of one hook.

Other providers are measured in the same run, if they are installed. Prints the tables of docs/performance.md.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time

CONNECTION = "AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT"
RUNS = 9
CALLS = 1000

IMPORTS = {
    "this package": "airflow_provider_nebula_explorer.{operators,sensors}.nebula_explorer",
    "dbt-cloud": "airflow.providers.dbt.cloud.{operators,sensors}.dbt",
    "databricks": "airflow.providers.databricks.{operators,sensors}.databricks",
    "airbyte": "airflow.providers.airbyte.{operators,sensors}.airbyte",
}

IMPORT_PROGRAM = """
import sys, time
import airflow.sdk
airflow.sdk.BaseOperator, airflow.sdk.BaseSensorOperator, airflow.sdk.BaseHook, airflow.sdk.BaseOperatorLink
before = set(sys.modules)
begun = time.perf_counter()
{imports}
spent = time.perf_counter() - begun
http = {{"requests", "httpx", "aiohttp", "urllib3"}} & (set(sys.modules) - before)
print(spent, ",".join(sorted(http)) or "none", len(set(sys.modules) - before))
"""

TASK_PROGRAM = """
import logging, sys, time
logging.disable(logging.WARNING)  # otherwise a log line for each request would be measured, too
from types import SimpleNamespace
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerGetJobOperator
task = NebulaExplorerGetJobOperator(task_id="t", job_id=sys.argv[1])
context = {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}
begun = time.perf_counter()
task.execute(context)
print(time.perf_counter() - begun)
"""


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="nebula-explorer-bench-") as home:
        os.environ["AIRFLOW_HOME"] = home
        measure()


def measure() -> None:
    print("| importing operators and sensors | ms, median | ms, least | HTTP libraries loaded | modules |")
    print("|---|---|---|---|---|")
    for name, pattern in IMPORTS.items():
        measure_import(
            name, [pattern.replace("{operators,sensors}", part) for part in ("operators", "sensors")]
        )
    print()
    print("| calls | requests | logins | TCP connections | ms a call |")
    print("|---|---|---|---|---|")
    measure_calls()


def measure_import(name: str, modules: list[str]) -> None:
    try:
        if not all(importlib.util.find_spec(module) for module in modules):
            return
    except ModuleNotFoundError:
        return
    program = IMPORT_PROGRAM.format(imports="; ".join(f"import {module}" for module in modules))
    spent = []
    for _ in range(RUNS + 1):
        ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        seconds, http, count = ran.stdout.split()[-3:]
        spent.append(float(seconds) * 1000)
    del spent[0]  # the first run may have compiled the modules
    print(f"| {name} | {statistics.median(spent):.1f} | {min(spent):.1f} | {http} | {count} |")


def measure_calls() -> None:
    import requests

    logging.disable(logging.WARNING)  # otherwise a log line for each request would be measured, too
    from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan
    from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

    def row(what: str, counts: list[int], seconds: float, calls: int) -> None:
        print(f"| {what} | {' | '.join(map(str, counts))} | {seconds * 1000 / calls:.2f} |")

    def counts_of(emulator: Emulator) -> list[int]:
        return [emulator.count(), emulator.logins, emulator.connections]

    with Emulator() as emulator:
        os.environ[CONNECTION] = emulator.airflow_connection
        job_id = emulator.start_job(1, plan=JobPlan(running=0))
        for what in ("one get-job task", "the next one, in a process of its own"):
            before = counts_of(emulator)
            command = [sys.executable, "-c", TASK_PROGRAM, str(job_id)]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            counts = [after - number for after, number in zip(counts_of(emulator), before, strict=True)]
            row(what, counts, float(ran.stdout.split()[-1]), 1)

    with Emulator() as emulator, NebulaExplorerHook() as hook:
        os.environ[CONNECTION] = emulator.airflow_connection
        job_id = emulator.start_job(1, plan=JobPlan(running=0))
        begun = time.perf_counter()
        for _ in range(CALLS):
            hook.get_job(job_id)
        row(f"{CALLS} `get_job` of one hook", counts_of(emulator), time.perf_counter() - begun, CALLS)

        path = f"{emulator.url}/api-open/v1/jobs/{job_id}"
        headers = {"Cookie": hook.get_conn()._session._login.header}
        with requests.Session() as bare:
            begun = time.perf_counter()
            for _ in range(CALLS):
                json.loads(bare.get(path, headers=headers, timeout=30).content)
            spent = time.perf_counter() - begun
    print(f"| {CALLS} bare `requests` calls, to compare | {CALLS} | | 1 | {spent * 1000 / CALLS:.2f} |")


if __name__ == "__main__":
    main()
