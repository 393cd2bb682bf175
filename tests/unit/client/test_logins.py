# SPDX-License-Identifier: Apache-2.0
"""What is read from a login's response, and sent back with calls."""

from __future__ import annotations

import pytest
from factories import TOKEN

from airflow_provider_nebula_explorer.explorer.client.logins import is_cookie, is_token, read_login


def login(*set_cookies):
    return read_login(set_cookies, "json")


def header(*set_cookies):
    return login(*set_cookies).header.replace(TOKEN, "T")


OURS = f"explorer_token={TOKEN}; Path=/; Max-Age=259200; HttpOnly"


@pytest.mark.parametrize(
    "cookie",
    [
        "AWSALB=0; Expires=Fri, 04 Dec 2026 22:00:00 GMT; Path=/",
        "AWSALB=0; Domain=elsewhere.example; Path=/x; Secure; SameSite=None",
        "AWSALB=0",
        " AWSALB=0 ;Max-Age=0",
    ],
)
def test_whatever_a_cookies_attributes_it_goes_back(cookie):
    assert header(OURS, cookie) == header(cookie, OURS) == "explorer_token=T; AWSALB=0"


@pytest.mark.parametrize(
    ("cookies", "sent"),
    [
        (["a=1; Path=/", "b=2"], "a=1; b=2"),
        (["a=1; Path=/, b=2; Path=/, c=3"], "a=1; b=2; c=3"),
        (["a=1; Expires=Fri, 04 Dec 2026 22:00:00 GMT, b=2; Path=/"], "a=1; b=2"),
        (["a=1", "a=2", "b=1"], "a=2; b=1"),
        (["a=x,y=z; Path=/"], "a=x,y=z"),
        (['a="quoted, with a space"'], 'a="quoted, with a space"'),
        (["a=b=c=="], "a=b=c=="),
    ],
)
def test_of_several_cookies_each_goes_back(cookies, sent):
    assert header(OURS, *cookies) == f"explorer_token=T; {sent}"


@pytest.mark.parametrize(
    "cookie",
    ["a=; Max-Age=0", "=1", "a", "", "a=\r\nX: y", "a=ü", "a b=1", "a=x, explorer_token=T", "a=\x00"],
)
def test_what_is_no_cookie_or_was_removed_does_not_go_back(cookie):
    assert header(OURS, cookie) == "explorer_token=T"


def test_the_token_may_be_in_a_folded_header():
    assert header(f"a=1; Path=/, {OURS}, b=2") == "explorer_token=T; a=1; b=2"


def test_a_header_does_not_grow_without_an_end():
    long = [f"name{number}={'x' * 900}" for number in range(1000)]
    assert 4096 < len(header(OURS, *long)) < 8500


def test_no_login_has_more_secrets_than_an_error_can_be_searched_for():
    many = [f"name{number}=value-{number:03}" for number in range(300)]
    found = login(OURS, f"explorer_token={'.'.join(['x' * 80] * 90)}", *many, "name9=replaced-9")
    assert found.cookies == (*many[:9], "name9=replaced-9")
    assert len(found.secrets) == 1 + 5 + 10


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("; Max-Age=259200; HttpOnly", 259200),
        ("; # Max-Age=60; HttpOnly", 60),
        ("; max-age=60", 60),
        ("; Path=/", None),
        ("; Max-Age=-1", None),
        ("; Max-Age=12345678901", None),
    ],
)
def test_the_tokens_life_is_read_where_it_is_said(attributes, seconds):
    assert login("other=1; Max-Age=7", f"explorer_token={TOKEN}{attributes}").max_age == seconds


def test_neither_token_nor_cookies_are_shown():
    shown = repr(login(OURS, "AWSALB=sticky-session"))
    assert TOKEN not in shown
    assert "sticky" not in shown


def test_short_values_are_no_secrets():
    assert login(OURS, "lang=en", "sid=0123456789abcdef").secrets == (TOKEN, "0123456789abcdef")


def test_the_long_parts_of_a_token_are_secrets_too():
    header, payload, rest = "h" * 36, "p" * 40, "r" * 50
    token = ".".join([header, payload, *[rest] * 100])
    assert login(f"explorer_token={token}").secrets == (token, payload, rest, rest, rest)


@pytest.mark.parametrize("text", ["", "a b", "a;b", 'a"b', "a,b", "a\r\nb", "ü", "a; x=1"])
def test_a_text_that_would_add_to_the_header_is_neither_token_nor_cookie(text):
    assert not is_token(text)
    assert is_token("header.payload.signature")
    assert not is_cookie(f"explorer_token={text}")
