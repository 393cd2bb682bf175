# SPDX-License-Identifier: Apache-2.0
"""A newcomer looks for the package in Airflow's pages, makes the connection, and tests it."""

from __future__ import annotations

import json

import pytest
import trustme
from pages import Camera, ConnectionForm, Connections
from playwright.sync_api import Page, expect
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.connection.fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.emulator.sessions import DEFAULT_PASSWORD

CONNECTION = "nebula_explorer_default"
LABELS = {field.name: field.label for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)}


@pytest.fixture(scope="module")
def connections(page: Page) -> Connections:
    return Connections(page)


@pytest.fixture(scope="module")
def form(connections: Connections) -> ConnectionForm:
    """The form, as the step before left it."""
    connections.visit()
    return connections.add()


@pytest.fixture(scope="module")
def values(explorer: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is entered into each of our fields."""
    files = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    client = authority.issue_cert("airflow.example.com")
    authority.cert_pem.write_to_path(files / "ca.pem")
    client.cert_chain_pems[0].write_to_path(files / "client.pem")
    client.private_key_pem.write_to_path(files / "client.key")
    return {
        "nebula_address": "10.0.0.9",
        "nebula_port": "9669",
        "account_encoding": "colon",
        "timeout": "20",
        "verify": str(files / "ca.pem"),
        "client_cert": str(files / "client.pem"),
        "client_key": str(files / "client.key"),
        "proxy": explorer.url,  # it also serves requests that are sent to it as a proxy
        "max_retries": "3",
        "max_consecutive_failures": "6",
        "share_login": "false",
        "job_url": "{base_url}/?workflow={workflow_id}&job={job_id}",
    }


def test_the_providers_page_names_the_package_and_links_to_its_subject(page: Page):
    page.goto("/providers")
    row = page.get_by_role("row").filter(has_text="airflow-provider-nebula-explorer")
    expect(row).to_contain_text("Workflows and jobs of NebulaGraph Explorer")
    expect(row.get_by_role("link", name="https://docs.nebula-graph.io/", exact=True)).to_be_visible()


def test_the_form_calls_the_standard_fields_by_explorers_words(form: ConnectionForm):
    form.choose_type("NebulaGraph Explorer")
    for field in STANDARD_FIELDS:
        expect(form.input(field.label)).to_be_visible()
        if field.placeholder:
            expect(form.field(field.label).get_by_placeholder(field.placeholder, exact=True)).to_be_visible()


def test_the_password_is_hidden(form: ConnectionForm):
    expect(form.input(LABELS["password"])).to_have_attribute("type", "password")


def test_the_form_cannot_be_saved_without_the_address_of_graphd(
    form: ConnectionForm, explorer: Emulator, camera: Camera
):
    form.type("Connection ID", CONNECTION)
    form.type(LABELS["host"], "graph.example.com")  # as readers of the documentation would
    form.type(LABELS["port"], str(explorer.port))
    form.type(LABELS["login"], "root")
    form.type(LABELS["password"], DEFAULT_PASSWORD)
    camera.take_top("connection-form", form.dialog, height=900)
    form.type(LABELS["host"], "127.0.0.1")
    form.open("Extra Fields")
    expect(form.field(LABELS["nebula_address"])).to_contain_text("This field is required")
    expect(form.save_button).to_be_disabled()


@pytest.mark.parametrize("field", EXTRA_FIELDS, ids=lambda field: field.name)
def test_a_field_of_ours_has_its_label_its_help_and_its_default(form: ConnectionForm, field):
    expect(form.help(field.label)).to_have_text(field.help)
    if "enum" not in field.schema:
        expect(form.input(field.label)).to_have_value(str(field.form_default or ""))


def test_a_newcomer_is_told_which_address_of_graphd_is_meant(
    form: ConnectionForm, values: dict[str, str], camera: Camera
):
    expect(form.help(LABELS["nebula_address"])).to_contain_text("as Explorer reaches it")
    expect(form.help(LABELS["nebula_address"])).to_contain_text("not localhost")
    form.type(LABELS["nebula_address"], values["nebula_address"])
    expect(form.save_button).to_be_enabled()
    camera.take_top("connection-form-extra", form.dialog, height=890)


def test_the_account_encoding_is_chosen_from_a_list(form: ConnectionForm):
    assert form.choose(LABELS["account_encoding"], "colon") == ["auto", "json", "colon"]


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        ("nebula_port", "70000", "65535"),
        ("nebula_port", "0", "1"),
        ("timeout", "5000", "3600"),
        ("max_retries", "-1", "0"),
        ("max_retries", "101", "100"),
        ("max_consecutive_failures", "0", "1"),
    ],
)
def test_a_number_is_kept_in_its_bounds(form: ConnectionForm, name: str, typed: str, kept: str):
    form.type(LABELS[name], typed)
    expect(form.input(LABELS[name])).to_have_value(kept)


def test_every_field_of_ours_is_saved_as_it_was_filled_in(
    form: ConnectionForm, values: dict[str, str], airflow: Airflow
):
    for field in EXTRA_FIELDS:
        if "enum" in field.schema:
            form.choose(field.label, values[field.name])
        else:
            form.type(field.label, values[field.name])
    form.save()
    saved = json.loads(airflow.request("GET", f"/connections/{CONNECTION}")["extra"])
    shown = values | {"proxy": "***"}  # Airflow shows none, as it may hold a password
    assert {name: str(value) for name, value in saved.items()} == shown


def test_the_test_button_says_where_it_logged_in_and_as_whom(
    connections: Connections, explorer: Emulator, camera: Camera
):
    message = connections.test(CONNECTION)
    expect(message).to_contain_text("Test Connection Successful")
    expect(message).to_contain_text(f"Logged in to Explorer at {explorer.url} as 'root'.")
    assert explorer.logins == 1
    camera.take("connection-test", height=440)


def test_the_test_button_says_what_to_check_when_the_password_is_wrong(
    connections: Connections, explorer: Emulator, camera: Camera
):
    connections.change(CONNECTION, LABELS["password"], "not-the-password")
    message = connections.test(CONNECTION)
    expect(message).to_contain_text("Test Connection Failed")
    expect(message).to_contain_text(f"Explorer at {explorer.url} refused to log in account 'root'")
    expect(message).to_contain_text("Check three things: 1. login and password;")
    expect(message).not_to_contain_text("not-the-password")
    camera.take("connection-wrong-password", height=560)
    connections.change(CONNECTION, LABELS["password"], DEFAULT_PASSWORD)


def test_the_test_button_says_that_explorers_port_is_out_of_its_bounds(
    connections: Connections, explorer: Emulator
):
    connections.change(CONNECTION, LABELS["port"], "70000")
    expect(connections.test(CONNECTION)).to_contain_text("check its port: it must be from 1 to 65535")
    connections.change(CONNECTION, LABELS["port"], str(explorer.port))
    expect(connections.test(CONNECTION)).to_contain_text("Test Connection Successful")
