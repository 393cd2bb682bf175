# SPDX-License-Identifier: Apache-2.0
"""What is assumed of every response: the envelope and its codes; and what answers beside the API."""

from __future__ import annotations

import re

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, differs, ok
from airflow_provider_nebula_explorer.doctor.observation import Observation
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.exceptions import CODES
from airflow_provider_nebula_explorer.explorer.client.protocol import ROOT, Request


def unknown_path(prober: Prober) -> Finding:
    """Try a path that the API does not have: so a wrong host, port or path prefix answers."""
    seen = prober.call("unknown path", Request("GET", f"{ROOT}/no-such-path"))
    if seen.is_html and seen.response.status == 200:
        return ok(seen.describe(), unknown_path="html")
    if seen.code == 0:
        return differs(
            seen.describe(),
            "A wrong path prefix in the connection may look like an Explorer: check its host.",
        )
    return differs(
        seen.describe(),
        "Nothing to do: this shows a wrong address more clearly than a web page does.",
        unknown_path="error",
    )


def web_page(prober: Prober) -> Finding:
    """Try the page that a task's link opens where the connection has no ``job_url``."""
    seen = prober.call("web page", Request("GET", "/"))
    if seen.is_html and seen.response.status == 200:
        return ok(seen.describe())
    return differs(seen.describe(), "The link on a task leads nowhere: set job_url in the connection.")


def success_envelope(prober: Prober) -> Finding:
    """Try how a success is written."""
    prober.list({})
    successes = [seen for seen in prober.observations if seen.code == 0]
    odd = [seen for seen in successes if seen.envelope and seen.envelope.get("message") != "Success"]
    if odd:
        return differs(
            f"another message in {len(odd)} of {len(successes)} successes",
            "Nothing to do: the package goes by the code alone.",
        )
    return ok(f"in {len(successes)} successes")


def status_follows_code(prober: Prober) -> Finding:
    """Try whether the HTTP status says the same as the code."""
    successes = [seen for seen in prober.observations if seen.code == 0]
    refusals = _refusals_of(prober)
    odd = [seen for seen in (*successes, *refusals) if seen.response.status != _status_of(seen)]
    if odd:
        return differs(
            odd[0].describe(),
            "Nothing to do: the package goes by the code. Do not let a gateway judge by the HTTP status.",
            http_status_follows_code=False,
        )
    return ok(f"in {len(successes) + len(refusals)} responses", http_status_follows_code=True)


def error_message(prober: Prober) -> Finding:
    """Try how a refusal's message is written."""
    refusals = _refusals_of(prober)
    odd = [seen for seen in refusals if not _has_documented_message(seen)]
    if odd:
        return differs(
            f"another message in {len(odd)} of {len(refusals)} refusals",
            "The package shows messages as they come, but finds an unreachable graphd and a lack of room for "
            "logins by their words: report this if its error texts mislead you.",
        )
    return ok(f"in {len(refusals)} refusals")


def error_codes(prober: Prober) -> Finding:
    """Try whether each refusal has a documented code."""
    refusals = _refusals_of(prober)
    odd = [seen for seen in refusals if seen.code not in CODES]
    if odd:
        return differs(
            odd[0].describe(),
            "The package goes by the first three digits: report this if its errors mislead you.",
        )
    return ok(", ".join(sorted({str(seen.code) for seen in refusals})))


def error_details(prober: Prober) -> Finding:
    """Try whether a refusal has more than a code and a message."""
    refusals = _refusals_of(prober)
    longer = [seen for seen in refusals if seen.envelope and seen.envelope.get("details") is not None]
    if longer:
        return differs(
            f"details in {len(longer)} of {len(refusals)} refusals",
            "Nothing to do: the package ignores them, as they may repeat secrets.",
        )
    return ok(f"no details in {len(refusals)} refusals")


def _refusals_of(prober: Prober) -> list[Observation]:
    refusals = [seen for seen in prober.observations if seen.code]
    if not refusals:
        raise CannotTryError("nothing was refused")
    return refusals


def _status_of(seen: Observation) -> int:
    """Return the HTTP status that a code should have: 500 where its category is none."""
    if not seen.category:
        return 200
    return seen.category if seen.category in range(400, 600) else 500


def _has_documented_message(seen: Observation) -> bool:
    message = (seen.envelope or {}).get("message")
    name = CODES[seen.code][0] if seen.code in CODES else "Err[A-Za-z]+"
    return isinstance(message, str) and re.fullmatch(rf"{name}(::.*)?", message, re.DOTALL) is not None


PATH_CHECKS = (
    Check("unknown path", "HTTP 200, an HTML page", unknown_path),
    Check("web page", "HTTP 200, an HTML page at /", web_page),
)

ENVELOPE_CHECKS = (
    Check("envelope", "code 0, message Success", success_envelope),
    Check("HTTP status and code", "the status is the code's first three digits", status_follows_code),
    Check("error message", "<ErrName> or <ErrName>::<detail>", error_message),
    Check("error codes", "documented ones", error_codes),
    Check("error details", "none", error_details),
)
"""They judge all responses so far, so they come last."""
