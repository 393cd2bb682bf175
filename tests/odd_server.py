# SPDX-License-Identifier: Apache-2.0
"""A list of jobs from an Explorer that obeys parts of a filter, or nothing; without a socket."""

from __future__ import annotations

import json
import random
from urllib.parse import parse_qs, urlsplit

FIVE_OCLOCK = 1_750_000_000_000
MINUTE = 60_000


def query(call):
    return {key: values[0] for key, values in parse_qs(urlsplit(call.request.target).query).items()}


class OddServer:
    """Jobs of workflow 5, one a minute, every third of which failed; ``obeys`` has the parts that count.

    :param order: ``asc``, ``desc`` or ``none``, whatever is requested; ``""``: as requested.
    """

    def __init__(
        self, *, obeys=("status", "fromCreateTime", "toCreateTime"), order="", jobs=50, cap=10, foreign=0
    ):
        self.obeys, self.order, self.cap, self.requests = obeys, order, cap, 0
        self.jobs = [
            {
                "id": 100 + number,
                "workflowId": "5" if number >= foreign else "77",
                "status": 3 if number % 3 == 0 else 2,
                "createTime": FIVE_OCLOCK + number * MINUTE,
            }
            for number in range(jobs)
        ]

    def __call__(self, call):
        """Make a call."""
        return call.read(self.page(query(call)))

    def page(self, sent):
        """Return the data of a list, for the parameters that were sent."""
        self.requests += 1
        wanted = json.loads(sent["filter"])
        page, size = int(sent["page"]), min(int(sent["pageSize"]), self.cap)
        jobs = [job for job in self.jobs if self._fits(job, wanted)]
        self._sort(jobs, self.order or wanted.get("orderByCreateTime", "desc"))
        items = jobs[(page - 1) * size : page * size]
        return {"items": items, "Page": page, "PageSize": size, "total": len(jobs)}

    def _fits(self, job, wanted):
        wanted = {key: value for key, value in wanted.items() if key in self.obeys}
        return wanted.get("status", job["status"]) == job["status"] and wanted.get(
            "fromCreateTime", 0
        ) <= job["createTime"] <= wanted.get("toCreateTime", 10**15)

    def _sort(self, jobs, order):
        if order == "none":
            random.Random(len(jobs)).shuffle(jobs)
        else:
            jobs.sort(key=lambda job: job["createTime"], reverse=order == "desc")


ODD = {
    "no status filter": {"obeys": ("fromCreateTime", "toCreateTime")},
    "no time filter": {"obeys": ("status",)},
    "no filter": {"obeys": ()},
    "always newest first": {"order": "desc"},
    "always oldest first": {"order": "asc"},
    "in no order": {"order": "none"},
    "nothing obeyed": {"obeys": (), "order": "asc"},
    "nothing obeyed, newest first": {"obeys": (), "order": "desc"},
    "nothing obeyed, in no order": {"obeys": (), "order": "none"},
    "jobs of another workflow": {"foreign": 20},
}
