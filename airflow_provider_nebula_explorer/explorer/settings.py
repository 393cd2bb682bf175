# SPDX-License-Identifier: Apache-2.0
"""How to reach one Explorer, and with which account: plain values, already checked."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn
from urllib.parse import quote

from airflow_provider_nebula_explorer.explorer.models import LONGEST_NAME

if TYPE_CHECKING:
    from typing_extensions import Self

AccountEncoding = Literal["json", "colon"]


class _Confidential:
    """Values that hold a password, so that nothing writes them: no pickle, and not Airflow's XCom."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds a password and cannot be serialized. Return what is needed of it "
            "instead, such as base_url."
        )

    serialize = __reduce__  # Airflow calls it for each value of an XCom

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # it is frozen


@dataclass(frozen=True)
class Account(_Confidential):
    """A NebulaGraph account, and the graphd that Explorer uses with it.

    :param login: the account's name.
    :param password: its password; empty for a NebulaGraph without authentication.
    :param nebula_address: graphd's address as *Explorer* reaches it.
    :param nebula_port: graphd's port, from 1 to 65535.
    :param encodings: the account encodings to try, in this order: ``json`` for Explorer 3.3 and later,
        ``colon`` for 3.1 and 3.2 (Explorer's API pages of those versions, "Authentication").
    """

    login: str
    password: str = field(repr=False)
    nebula_address: str
    nebula_port: int = 9669
    encodings: tuple[AccountEncoding, ...] = ("json", "colon")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not appear anywhere: the password, and the account in both encodings."""
        known = (self.password, self.encoded("json"), self.encoded("colon"))
        return tuple(secret for secret in known if secret)

    def encoded(self, encoding: AccountEncoding) -> str:
        """Return base64 of the account, as the login's ``Authorization`` header carries it.

        :param encoding: one of ``encodings``.
        """
        if encoding == "json":
            text = json.dumps([self.login, self.password], ensure_ascii=False, separators=(",", ":"))
        else:
            text = f"{self.login}:{self.password}"
        return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Settings(_Confidential):
    """Everything needed to talk to one Explorer.

    :param base_url: scheme, host, port and path prefix, without a slash at the end.
    :param account: the account that logs in, and its graphd.
    :param timeout: seconds that one request may take in total.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle.
    :param client_cert: path of a client certificate; it also holds the key if ``client_key`` is ``None``.
    :param client_key: path of the certificate's key, if that is in a separate file.
    :param proxy: URL of a proxy; with ``None``, the environment's applies.
    :param max_retries: how often a request that is safe to repeat is retried.
    :param max_consecutive_failures: how many failed polls of a job, in a row, end a wait.
    :param job_url: template of the address of a job's web page, with ``{job_id}``, ``{workflow_id}`` and
        ``{base_url}``.
    :param share_login: whether all processes that use ``state_dir`` share one login.
    :param state_dir: path of the folder in which processes of one user share what must outlive them; ``~`` is
        that user's home. With ``None``, they share nothing.
    """

    base_url: str
    account: Account
    timeout: float = 30
    verify: bool | str = True
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = field(default=None, repr=False)
    max_retries: int = 5
    max_consecutive_failures: int = 12
    job_url: str = "{base_url}/"
    share_login: bool = True
    state_dir: str | None = None

    def job_link(self, job_id: int, workflow_id: int | str = "") -> str:
        """Return the address of a job's web page.

        :param job_id: what ``{job_id}`` in ``job_url`` becomes.
        :param workflow_id: what ``{workflow_id}`` becomes; it is quoted, as it may come from Explorer.
        """
        known = str(workflow_id)[:LONGEST_NAME]
        place = quote(known, safe="", errors="replace")
        return self.job_url.format(job_id=job_id, workflow_id=place, base_url=self.base_url)
