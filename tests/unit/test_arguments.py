# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer import arguments
from airflow_provider_nebula_explorer.explorer.models import JobStatus, show


@pytest.mark.parametrize(
    ("value", "expected"), [(1964, 1964), ("1964", 1964), ("007", 7), (2**63 - 1, 2**63 - 1)]
)
def test_ids_are_numbers_or_text_of_digits(value, expected):
    assert arguments.parse_id("job_id", value) == expected


HUGE = pytest.param(10**5000, id="huge")  # more digits than Python writes
NO_IDS = [
    "../1",
    True,
    -1,
    "1 or 2",
    "",
    " 1",
    "1\n",
    "１２",
    "1.0",
    1.0,
    None,
    b"1",
    [1],
    "9" * 21,
    HUGE,
]


@pytest.mark.parametrize("value", NO_IDS)
def test_anything_else_is_no_id(value):
    with pytest.raises(NebulaExplorerConfigError, match="job_id is .*; allowed: "):
        arguments.parse_id("job_id", value)


@pytest.mark.parametrize("value", ["x", "", "f" * 31, "f" * 33, "g" * 32, "../" + "f" * 29, 7, None])
def test_a_task_id_is_32_hex_characters(value):
    task_id = "F93dea90fc3a11ecac7e6da0662c195b"
    assert arguments.parse_task_id("task_id", task_id) == task_id
    with pytest.raises(NebulaExplorerConfigError, match="task_id is"):
        arguments.parse_task_id("task_id", value)


@pytest.mark.parametrize("value", [3, "3", JobStatus.FAILED, "FAILED", "failed", "Failed", " failed "])
def test_a_status_is_a_number_a_member_or_a_name_in_any_case(value):
    assert arguments.parse_status("status", value) is JobStatus.FAILED


def test_a_status_may_be_one_of_a_newer_explorer():
    assert arguments.parse_status("status", 9) == 9


@pytest.mark.parametrize("value", ["done", True, None, 2.0, "-1", "", HUGE])
def test_a_wrong_status_names_the_right_ones(value):
    with pytest.raises(NebulaExplorerConfigError, match="0 PREPARING, 1 RUNNING, 2 SUCCESS, 3 FAILED"):
        arguments.parse_status("status", value)


@pytest.mark.parametrize("value", [("success", 3), ["SUCCESS", "FAILED"], {2, "3"}])
def test_statuses_come_as_a_list(value):
    assert arguments.parse_statuses("target_statuses", value) == {JobStatus.SUCCESS, JobStatus.FAILED}


def test_a_single_status_is_a_list_of_one():
    assert arguments.parse_statuses("target_statuses", "success") == {JobStatus.SUCCESS}


@pytest.mark.parametrize("value", [(), [], ["done"], None])
def test_wrong_statuses_are_named(value):
    with pytest.raises(NebulaExplorerConfigError, match="target_statuses is"):
        arguments.parse_statuses("target_statuses", value)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2022, 7, 12, 2, 33, 32, 505999, tzinfo=timezone.utc),
        datetime(2022, 7, 12, 10, 33, 32, 505999, tzinfo=timezone(timedelta(hours=8))),
        "2022-07-12T10:33:32.505999+08:00",
        "2022-07-12 02:33:32.505999+00:00",
        "2022-07-12T02:33:32.505999Z",
        "2022-07-12T02:33:32.505999123Z",
        "2022-07-12T10:33:32.505999+0800",
    ],
)
def test_times_become_milliseconds_rounded_down(value):
    assert arguments.parse_milliseconds("created_after", value) == 1657593212505


def test_times_before_1970_are_rounded_down_too():
    assert arguments.parse_milliseconds("t", datetime(1969, 12, 31, 23, 59, 59, 999999, timezone.utc)) == -1


@pytest.mark.parametrize("value", [datetime(2022, 7, 12), "2022-07-12T10:33:32", "yesterday", 5, None])
def test_a_time_without_a_zone_is_refused(value):
    with pytest.raises(NebulaExplorerConfigError, match="created_after is .*time zone"):
        arguments.parse_milliseconds("created_after", value)


@pytest.mark.parametrize("value", [0, -1, True, "0", "x", 1.5, None, ""])
def test_a_count_is_positive_and_whole(value):
    assert arguments.parse_count("limit", "10") == 10
    with pytest.raises(NebulaExplorerConfigError, match="limit is"):
        arguments.parse_count("limit", value)


@pytest.mark.parametrize("value", [0, -1, True, "5", None, float("nan"), float("inf"), 1e10])
def test_seconds_are_above_zero(value):
    assert arguments.parse_seconds("poll_interval", 0.5) == 0.5
    with pytest.raises(NebulaExplorerConfigError, match="poll_interval is"):
        arguments.parse_seconds("poll_interval", value)


@pytest.mark.parametrize("value", ["up", "DESC", None, 1])
def test_an_order_is_desc_or_asc(value):
    assert [arguments.parse_word("order", order, ("desc", "asc")) for order in ("desc", "asc")] == [
        "desc",
        "asc",
    ]
    with pytest.raises(NebulaExplorerConfigError, match="'desc' or 'asc'"):
        arguments.parse_word("order", value, ("desc", "asc"))


@pytest.mark.parametrize(
    "value", [{"query_1": {"limit": 10, "name": "x"}}, '{"query_1": {"limit": 10, "name": "x"}}']
)
def test_an_input_is_a_mapping_or_its_json(value):
    assert arguments.parse_input(value) == {"query_1": {"limit": 10, "name": "x"}}


def test_no_input_is_no_input():
    assert arguments.parse_input(None) is None
    assert arguments.parse_input("null") is None


@pytest.mark.parametrize(
    "value",
    [[], "nonsense", 5, "[1, 2]", {"q": {"p": "\ud800"}}, {"q": {"p": 10**5000}}, "[" * 200_000, "9" * 5000],
    ids=lambda value: show(value)[:30],
)
def test_a_wrong_input_is_refused(value):
    with pytest.raises(NebulaExplorerConfigError, match="input is .*query_1"):
        arguments.parse_input(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"query_1": 5}, """input["query_1"] is 5; allowed: {'<parameter>': <text or number>}."""),
        ({"q": {"flag": True}}, """input["q"]["flag"] is True; allowed: text, or a finite number."""),
        ('{"q": {"flag": null}}', """input["q"]["flag"] is None; allowed: text, or a finite number."""),
        ({"q": {"p": [1]}}, """input["q"]["p"] is [1]; allowed: text, or a finite number."""),
        ({"q": {"p": float("nan")}}, """input["q"]["p"] is nan; allowed: text, or a finite number."""),
        (
            {"a": {}, "q'\"": {"p": None}},
            """input["q'\\""]["p"] is None; allowed: text, or a finite number.""",
        ),
        ({"q" * 60: 1}, """input["%s..."] is 1; allowed: {'<parameter>': <text or number>}.""" % ("q" * 47)),
        ({"q": {2: "x"}}, """a parameter's name in input["q"] is 2; allowed: text."""),
        ({1: {}}, "a component's id in input is 1; allowed: text, such as 'query_1'."),
    ],
)
def test_an_error_in_a_nested_input_names_the_path_and_the_value_there(value, text):
    with pytest.raises(NebulaExplorerConfigError) as error:
        arguments.parse_input(value)
    assert str(error.value) == text


def test_an_error_in_json_text_shows_the_place_however_long_the_text_is():
    text = json.dumps({f"query_{number}": {"limit": 10} for number in range(100)})
    with pytest.raises(NebulaExplorerConfigError, match='no JSON at .*query_50" {"limit": 10}'):
        arguments.parse_input(text.replace('"query_50":', '"query_50"'))


@pytest.mark.parametrize("rendered", [str({"query_1": {"limit": 10}}), " { 'query_1': {}}"])
def test_a_dict_that_a_template_wrote_gets_a_hint_at_what_to_write(rendered):
    with pytest.raises(NebulaExplorerConfigError, match=r"\| tojson.*\.output.*as_native_obj"):
        arguments.parse_input(rendered)


@pytest.mark.parametrize("text", ['{"query_1": {]', "input.txt", "None", ""])
def test_other_texts_get_no_hint_at_templates(text):
    with pytest.raises(NebulaExplorerConfigError) as error:
        arguments.parse_input(text)
    assert "tojson" not in str(error.value)


def test_a_long_value_is_cut_in_the_text():
    with pytest.raises(NebulaExplorerConfigError) as error:
        arguments.parse_id("job_id", "x" * 10_000)
    assert len(str(error.value)) < 250


def test_a_wrong_argument_is_a_value_error_too():
    assert issubclass(NebulaExplorerConfigError, ValueError)


@pytest.mark.parametrize(("value", "interval"), [(1e-6, 0.1), (0.1, 0.1), (5, 5.0)])
def test_an_interval_between_polls_has_a_floor(value, interval):
    assert arguments.parse_interval("poll_interval", value) == interval


def test_seconds_may_be_a_timedelta():
    assert arguments.parse_seconds("timeout", timedelta(minutes=2)) == 120
    assert arguments.parse_interval("poll_interval", timedelta(milliseconds=1)) == 0.1
    assert arguments.parse_poll_interval("poll_interval", timedelta(seconds=5)) == 5
    with pytest.raises(NebulaExplorerConfigError, match="poll_interval is 0"):
        arguments.parse_poll_interval("poll_interval", timedelta(0))


def test_no_poll_interval_is_one_that_adapts():
    assert arguments.parse_poll_interval("poll_interval", None) is None
