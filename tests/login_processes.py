# SPDX-License-Identifier: Apache-2.0
"""What other processes do with a shared login: functions that multiprocessing can start, and nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings

PRELOADED = [
    "pytest",  # each process imports the main module
    "airflow_provider_nebula_explorer.explorer.client.sync_client",
    "cryptography.hazmat.primitives.ciphers.aead",
]


def get_job(settings: Settings) -> int | str:
    """Do what a get-job task does: one client, one call."""
    client = Client(settings)
    try:
        return client.run(api.get_job(101)).id
    except NebulaExplorerError as error:
        return str(error)
    finally:
        client.close()


def _with_settings(work: Callable[[Settings], int | str], fields: dict[str, Any]) -> int | str:
    """Do work with settings, which cannot be pickled themselves."""
    return work(Settings(**{**fields, "account": Account(**fields["account"])}))


def in_processes(
    work: Callable[[Settings], int | str], settings: Settings, *, times: int, at_once: int
) -> list[Any]:
    """Do work so many times, each in a process of its own, that many at once; return what came of each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with context.Pool(at_once, maxtasksperchild=1) as pool:
        done = pool.map(partial(_with_settings, work), [asdict(settings)] * times, chunksize=1)
        pool.close()
        pool.join()
    return done


def start(settings: Settings) -> multiprocessing.context.ForkServerProcess:
    """Start a process that makes a call."""
    process = multiprocessing.get_context("forkserver").Process(
        target=_with_settings, args=(get_job, asdict(settings))
    )
    process.start()
    return process
