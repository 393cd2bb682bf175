"""What only the blocking client does: it reads a response in pieces, against its own clock."""

from __future__ import annotations

import itertools

import pytest
from factories import settings_of

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client


def test_a_response_that_arrives_after_the_timeout_is_rejected_by_the_given_clock(explorer):
    clock = itertools.count(step=31)  # 31 s pass between two readings
    client = Client(settings_of(explorer, timeout=30, max_retries=0), clock=lambda: next(clock))
    with pytest.raises(NebulaExplorerConnectionError, match="no response within 30 s"):
        client.login()
    client.close()


def test_a_clock_that_stands_still_lets_every_response_arrive(explorer):
    client = Client(settings_of(explorer, timeout=30, max_retries=0), clock=lambda: 0.0)
    client.login()
    client.close()
    assert explorer.logins == 1
