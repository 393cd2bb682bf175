# SPDX-License-Identifier: Apache-2.0
"""What the emulator has beside Explorer's API: its web pages and its control requests."""

from __future__ import annotations

from airflow_provider_nebula_explorer.emulator import control, guard, pages
from airflow_provider_nebula_explorer.emulator.messages import Request, Response
from airflow_provider_nebula_explorer.emulator.refusals import RefusedError


def respond(emulator: control.Controlled, request: Request, host: str) -> Response | None:
    """Respond to a request for a page or a control; return ``None`` if it is a request for Explorer.

    :param host: the name or address that the emulator listens on.
    """
    page = pages.PATH.fullmatch(request.path) if request.method == "GET" else None
    if page is None and not request.path.startswith(control.PREFIX):
        return None
    try:
        guard.check(request, host)
    except RefusedError as refusal:
        return refusal.response
    if page is None:
        return control.respond(emulator, request)
    return _page(emulator, page[1]) if page[1] else pages.jobs_page(emulator.jobs)


def _page(emulator: control.Controlled, job_id: str) -> Response:
    try:
        return pages.job_page(emulator.job(int(job_id)))
    except RefusedError:
        return pages.missing_page(job_id)
