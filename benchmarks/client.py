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
    from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerGetJobOperator

    class TaskInstance:
        def xcom_push(self, key: str, value: object) -> None: ...

    def row(what: str, emulator: Emulator, seconds: float, calls: int) -> None:
        counts = f"{emulator.count()} | {emulator.logins} | {emulator.connections}"
        print(f"| {what} | {counts} | {seconds * 1000 / calls:.2f} |")

    with Emulator() as emulator:
        os.environ[CONNECTION] = emulator.airflow_connection
        job_id = emulator.start_job(1, plan=JobPlan(running=0))
        task = NebulaExplorerGetJobOperator(task_id="t", job_id=job_id)
        begun = time.perf_counter()
        task.execute({"ti": TaskInstance()})  # type: ignore[arg-type]
        row("one get-job task", emulator, time.perf_counter() - begun, 1)

    with Emulator() as emulator, NebulaExplorerHook() as hook:
        os.environ[CONNECTION] = emulator.airflow_connection
        job_id = emulator.start_job(1, plan=JobPlan(running=0))
        begun = time.perf_counter()
        for _ in range(CALLS):
            hook.get_job(job_id)
        row(f"{CALLS} `get_job` of one hook", emulator, time.perf_counter() - begun, CALLS)

        path = f"{emulator.url}/api-open/v1/jobs/{job_id}"
        headers = {"Cookie": f"explorer_token={hook.get_conn()._session._login.token}"}
        with requests.Session() as bare:
            begun = time.perf_counter()
            for _ in range(CALLS):
                json.loads(bare.get(path, headers=headers, timeout=30).content)
            spent = time.perf_counter() - begun
    print(f"| {CALLS} bare `requests` calls, to compare | {CALLS} | | 1 | {spent * 1000 / CALLS:.2f} |")


if __name__ == "__main__":
    main()
