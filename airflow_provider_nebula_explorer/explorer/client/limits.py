"""The bounds of what responses may cost: one bad Explorer must not stop everybody's waits."""

from __future__ import annotations

LONGEST_UNLIMITED_LIST = 100_000
"""Jobs of a list for which the caller set no limit: the walk remembers their ids, about 10 MiB."""

STALE_PAGES = 3
"""So many pages in a row without a new job end a list. One or two occur if jobs are added meanwhile, as all
others move to later pages."""
