# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
import zlib

import pytest

from airflow_provider_nebula_explorer.explorer.client.body import (
    Body,
    BrokenBodyError,
    ResponseTooLargeError,
    UnknownCodingError,
)
from airflow_provider_nebula_explorer.explorer.client.limits import LOOP_BUDGET, WORKER_BUDGET, Budget

BUDGET = Budget(2**20, values=100)


def read(coding, *pieces):
    body = Body(coding, BUDGET)
    for piece in pieces:
        body.append(piece)
    return body.finish()


def byte_by_byte(data):
    return [bytes([byte]) for byte in data]


@pytest.mark.parametrize("text", [b"", b"x", b"\xff" * 10_000])
def test_a_body_is_the_same_however_it_is_packed_and_arrives(text):
    packed = gzip.compress(text)
    assert read("", text) == read("identity", *byte_by_byte(text)) == text
    assert read("gzip", packed) == read(" GZip ", *byte_by_byte(packed)) == text


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1, 2**17, 2**19 + 3])
@pytest.mark.parametrize("text", [b"x", b"0123456789abcdefg"])
def test_a_body_of_any_number_of_parts_is_whole(size, text):
    body = (text * size)[:size]
    packed = gzip.compress(body)
    assert read("gzip", packed) == read("gzip", *byte_by_byte(packed)) == body


def test_a_bomb_of_json_values_is_hardly_unpacked():
    body = Body("gzip", BUDGET)
    with pytest.raises(ResponseTooLargeError, match="100 JSON values"):
        body.append(gzip.compress(b"{}," * 300_000))
    assert len(body._body) <= 2**16


def test_a_response_without_a_body_may_be_called_gzip():
    assert read("gzip") == b""


@pytest.mark.parametrize("size", [2**20, 2**20 + 1])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_the_unpacked_size_is_bounded(size, coding):
    body = bytes(size)
    packed = gzip.compress(body) if coding else body
    if size == BUDGET.size:
        assert read(coding, packed) == body
    else:
        with pytest.raises(ResponseTooLargeError, match="1 MiB"):
            read(coding, packed)


def test_a_bomb_is_unpacked_no_further_than_its_budget():
    body = Body("gzip", BUDGET)
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(2**20)) for _ in range(64)) + bomb.flush()
    with pytest.raises(ResponseTooLargeError):
        body.append(packed)
    assert len(body._body) == BUDGET.size + 1


def test_a_gzip_of_nothing_but_its_header_is_bounded():
    body = Body("gzip", BUDGET)
    body.append(b"\x1f\x8b\x08\x08" + bytes(6))
    for _ in range(31):
        body.append(b"n" * 2**16)  # the name of a file
    with pytest.raises(ResponseTooLargeError, match="1 MiB"):
        body.append(b"n" * 2**17)


@pytest.mark.parametrize("value", ["{}", "[]", '""', "1.5", '"\\u0041"', '{"a":1}'])
def test_the_number_of_values_is_bounded(value):
    few, many = (f"[{','.join([value] * count)}]".encode() for count in (30, 101))
    assert read("", few) == few
    with pytest.raises(ResponseTooLargeError, match="100 JSON values"):
        read("", *byte_by_byte(many))


def test_what_honest_explorers_send_is_within_the_budgets():
    job = {
        "id": 10**9,
        "name": "n" * 200,
        "workflowId": "3992429968",
        "workflowName": "n" * 200,
        "status": 2,
        **dict.fromkeys(("runBeginTime", "runEndTime", "createTime"), 1657593212505),
    }
    task = {"id": "f" * 32, "name": "n" * 100, "status": 2, **dict.fromkeys(("begin", "end"), "2022-07-12")}
    rows = [["player110", "player111", "0.150000"]] * 100_000
    for items, budget in ((([job] * 1000), LOOP_BUDGET), ([task] * 5000, LOOP_BUDGET), (rows, WORKER_BUDGET)):
        Body("", budget).append(json.dumps({"code": 0, "data": {"items": items}}).encode())


@pytest.mark.parametrize("coding", ["gzip, gzip", "deflate", "br", "zstd", "gzip;q=1", "*"])
def test_no_other_coding_is_known(coding):
    with pytest.raises(UnknownCodingError):
        Body(coding, BUDGET)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"no gzip"],
        [gzip.compress(b"{}"), b"more"],
        [gzip.compress(b"{}") + b"more"],
        [gzip.compress(b"{}")[:-1]],
        [gzip.compress(b"{}") * 2],
    ],
    ids=["no gzip", "more later", "more at once", "cut", "two"],
)
def test_what_is_not_one_whole_gzip_is_broken(pieces):
    with pytest.raises(BrokenBodyError):
        read("gzip", *pieces)
