# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from factories import Played, logged_in, no_jitter, refusal, settings

from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.redaction import redact
from airflow_provider_nebula_explorer.explorer.client.session import Session

PASSWORD = "Xk7:pä$$ \"q'\\<&>%41+/ Nq8"


@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False).translate(
            {ord(character): f"\\u{ord(character):04x}" for character in "<&>"}
        ),
        lambda text: repr(f"it's {text}"),
        lambda text: json.dumps(json.dumps(["root", text])),
        lambda text: json.dumps(["root", text], ensure_ascii=False),
        lambda text: quote(json.dumps(text)),
        html.escape,
        lambda text: html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="!'()*"),
    ],
)
def test_a_secret_is_redacted_however_it_is_written(write):
    redacted = redact([PASSWORD], f"failed to authenticate {write(PASSWORD)} at graphd")
    assert "Xk7" not in redacted
    assert "Nq8" not in redacted
    assert redacted.startswith("failed to authenticate ")
    assert redacted.endswith(" at graphd")


def test_a_token_of_odd_characters_is_redacted_as_it_is_and_escaped():
    token = "a'b<c>/+&" * 5
    text = f"{token} {html.escape(token)} {quote(token)} {json.dumps(token)}"
    assert redact([], text, tokens=[token]) == '*** *** *** "***"'


def test_base64_is_redacted_without_its_padding_and_as_urls_have_it():
    secret = base64.b64encode(b"??>>!??>>!").decode()
    assert "+" not in redact([secret], secret.rstrip("="))
    assert redact([secret], secret.replace("+", "-").replace("/", "_").rstrip("=")) == "***"


@pytest.mark.parametrize("secret", ["", "=", "==", "e==", "/", "+", "a b"])
def test_a_text_without_secrets_is_left_as_it_is(secret):
    text = "ErrSession::no session_of root-a-b"
    assert redact([secret], text) == text


def test_parts_of_a_token_are_redacted_in_explorers_messages():
    payload, signature = "eyJwYXNzd29yZCI6" * 4, "c2lnbmF0dXJl" * 4
    session = Session(settings(max_retries=0), jitter=no_jitter)
    responses = logged_in(f"header.{payload}.{signature}"), refusal(50004000, f"bad {payload} of {signature}")
    error = Played(session.call(api.get_job(1)), *responses).error
    assert error.message == "bad *** of ***"
