# SPDX-License-Identifier: Apache-2.0
"""Finds Airflow's connections in a process that is no task's."""

from __future__ import annotations

from typing import cast

from airflow.models import Connection

from airflow_provider_nebula_explorer.connection.reading import AirflowConnection


def find_connection(conn_id: str) -> AirflowConnection:
    """Return a connection, wherever Airflow keeps it.

    Outside a task, a hook of Airflow 3 finds only what is in the environment or in a secrets backend, not
    what is in Airflow's database.

    :raises AirflowNotFoundException: if there is none.
    """
    return cast("AirflowConnection", Connection.get_connection_from_secrets(conn_id))
