# SPDX-License-Identifier: Apache-2.0
"""Whatever Explorer sends, the report has nothing of the user's, and each row is made."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from own_explorer import OwnExplorer, settings

from airflow_provider_nebula_explorer.doctor.check import CHECK_FAILED
from airflow_provider_nebula_explorer.doctor.checks import all_checks
from airflow_provider_nebula_explorer.doctor.examination import examine
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.report import report_of
from airflow_provider_nebula_explorer.explorer.client.protocol import Response
from airflow_provider_nebula_explorer.explorer.settings import Account

HOST, LOGIN, PASSWORD, GRAPHD = "graph-host.example", "alice-account", 'pass"wört', "graphd-host.example"
JOB, WORKFLOW, NAME, TOKEN = 918273645, "5566778899", "fraud-report-of-march", "geheim.token.unterschrift"
ACCOUNT = Account(LOGIN, PASSWORD, GRAPHD)
SECRETS = (
    HOST,
    LOGIN,
    PASSWORD,
    GRAPHD,
    str(JOB),
    WORKFLOW,
    NAME,
    TOKEN,
    ACCOUNT.encoded("json"),
    ACCOUNT.encoded("colon"),
)
VALUES = (
    *SECRETS,
    JOB,
    int(WORKFLOW),
    -JOB,
    float(JOB),
    f"2022-07-12T10:33:35 {NAME}",
    [JOB, NAME],
    {NAME: JOB, "id": JOB, "items": [NAME]},
    [],
    {},
    None,
    True,
    "",
    0,
    10**30,
    "\ud800",
)
STATUSES = (200, 200, 200, 201, 302, 400, 401, 403, 404, 418, 429, 500, 503, 599)
DATES = ("", f"{NAME}", "Sun, 15 Jun 2025 15:00:00 GMT", "Sun, 31 Dec 9999 23:59:59 GMT")


class Echoing(OwnExplorer):
    """Puts what it knows of its user wherever its responses have room for it."""

    def __init__(self, random: Random, share: float) -> None:
        super().__init__()
        self._random, self._share = random, share
        self.token = TOKEN
        for job in self.jobs:
            job.update(id=job["id"] + JOB, name=NAME, workflowName=NAME, workflowId=WORKFLOW)

    def send(self, request):
        request = replace(request, headers={**request.headers})
        response = super().send(request)
        return self._hostile(response) if self._random.random() < self._share else response

    def _connect(self, request):
        return super()._connect(replace(request, headers={"Authorization": f"Bearer {_own()}"}))

    def _hostile(self, response: Response) -> Response:
        random = self._random
        kind = random.randrange(4)
        if kind == 0:
            return replace(response, status=random.choice(STATUSES))
        if kind == 1:
            headers = {"Content-Type": NAME, "Date": random.choice(DATES)}
            return replace(response, headers=headers, set_cookies=(self._any_cookie(),))
        if kind == 2:
            return replace(
                response, body=random.choice((b"", NAME.encode(), f"<html>{NAME}".encode(), b"[" * 9999))
            )
        try:
            return replace(response, body=json.dumps(self._echo(json.loads(response.body))).encode())
        except ValueError:
            return response

    def _any_cookie(self) -> str:
        attributes = (
            f"Max-Age={JOB}",
            f"{NAME}={JOB}",
            "Secure",
            f"Domain={HOST}",
            "HttpOnly",
            "# Max-Age=5",
        )
        return f"explorer_token={TOKEN}; {'; '.join(self._random.sample(attributes, 3))}"

    def _echo(self, value):
        """Replace a part of a JSON value."""
        random = self._random
        if random.random() < 0.1:
            return random.choice(VALUES)
        if isinstance(value, dict):
            return {
                (NAME if random.random() < 0.02 else key): self._echo(item) for key, item in value.items()
            }
        return [self._echo(item) for item in value] if isinstance(value, list) else value


def _own() -> str:
    from own_explorer import ACCOUNT as OWN

    return OWN.encoded("json")


@hypothesis(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 1.0]), st.booleans())
def test_the_report_has_nothing_of_the_users(seed, share, has_trial):
    explorer = Echoing(Random(seed), share)
    prober = Prober(
        explorer.send,
        settings(base_url=f"http://{HOST}:7002", account=ACCOUNT),
        now=lambda: explorer.now,
        sleep=explorer.sleep,
    )

    examination = examine(prober, int(WORKFLOW) if has_trial else None, lambda name: None)

    assert [row.check.name for row in examination.rows] == [check.name for check in all_checks()]
    assert not [row for row in examination.rows if CHECK_FAILED in row.finding.seen]
    text = json.dumps(report_of(examination.rows), ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in text or json.dumps(secret)[1:-1] in text]
    assert len(text) < 30_000
    assert len(explorer.requests) <= 60
