# SPDX-License-Identifier: Apache-2.0
"""The bounds of what the jobs of one workflow may cost the event loop."""

from __future__ import annotations

MOST_NEW_JOBS = 20_000
"""Jobs of one list: to take note of them holds the event loop for up to 40 ms."""

MOST_WAITS = 1000
"""Jobs of a workflow that are waited for at once, the newest: each takes some fifteen objects, which Python's
garbage collector visits while the event loop stands still. The others follow when those have ended."""

MOST_OPEN = 20_000
"""Jobs of a workflow whose events are still to come, the newest: Airflow stores their ids, some 200 KB.
It logs a warning above its ``[state_store] max_value_storage_bytes``, 64 KB, and stores them (Airflow 3.3's
``config.yml``)."""
