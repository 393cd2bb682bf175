# SPDX-License-Identifier: Apache-2.0
"""What Airflow itself sees of the package: metadata, form, links, hooks."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.connection.fields import EXTRA_FIELDS
from airflow_provider_nebula_explorer.connection.reading import read_connection
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.links.nebula_explorer import NebulaExplorerJobLink, store_link
from airflow_provider_nebula_explorer.provider_info import get_provider_info

pytestmark = pytest.mark.filterwarnings("default")  # Airflow's own warnings are not ours
SCHEMAS = Path(airflow.__file__).parent


@pytest.fixture(scope="module")
def info():
    return get_provider_info()


@pytest.fixture(scope="module")
def manager():
    return ProvidersManager()


@pytest.fixture(scope="module")
def hooks(manager):
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
    except ImportError:  # Airflow before 3.2
        return manager.hooks
    return ProvidersManagerTaskRuntime().hooks


def test_the_entry_point_is_found_and_names_the_distribution(info):
    (entry,) = [e for e in entry_points(group="apache_airflow_provider") if "nebula" in e.value]
    assert entry.name == "provider_info"
    assert entry.load()() == info
    assert entry.dist.metadata["Name"] == info["package-name"] == "airflow-provider-nebula-explorer"
    assert entry.dist.version == __version__ == info["versions"][0]


def test_the_metadata_is_valid_for_airflow(info):
    schema = json.loads((SCHEMAS / "provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)


def test_the_form_is_valid_for_airflows_stricter_schema_of_providers(info):
    path = SCHEMAS / "provider.yaml.schema.json"
    schema = json.loads(path.read_text())
    for part in ("connection-types", "integrations", "hooks", "operators", "sensors", "extra-links"):
        rules = {**schema["properties"][part], "definitions": schema.get("definitions", {})}
        jsonschema.validate(info[part], rules)


def test_every_module_and_class_named_in_the_metadata_exists(info):
    for kind in ("hooks", "operators", "sensors"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                assert importlib.import_module(module)
    classes = [*info["extra-links"], *(entry["hook-class-name"] for entry in info["connection-types"])]
    for name in classes:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute)


def test_airflow_lists_provider_hook_and_link_without_a_warning(manager, hooks, caplog):
    assert "airflow-provider-nebula-explorer" in manager.providers
    hook = hooks["nebula_explorer"]
    assert hook.hook_class_name.endswith("hooks.nebula_explorer.NebulaExplorerHook")
    assert (hook.hook_name, hook.connection_id_attribute_name) == (
        "NebulaGraph Explorer",
        "nebula_explorer_conn_id",
    )
    assert hook.connection_testable
    assert any("NebulaExplorerJobLink" in name for name in manager.extra_links_class_names)
    warnings = [record for record in caplog.records if record.levelname != "INFO"]
    assert not [record for record in warnings if "nebula" in record.getMessage()]


VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])


@pytest.mark.skipif(VERSION < (3, 2), reason="older versions build the form from the hook")
def test_airflow_builds_the_form_from_metadata(manager):
    fields = {
        key.removeprefix("extra__nebula_explorer__"): widget.field
        for key, widget in manager.connection_form_widgets.items()
        if key.startswith("extra__nebula_explorer__")
    }
    assert list(fields) == [field.name for field in EXTRA_FIELDS]
    assert fields["account_encoding"]["schema"]["enum"] == ["auto", "json", "colon"]
    assert (fields["nebula_port"]["schema"]["minimum"], fields["nebula_port"]["schema"]["maximum"]) == (
        1,
        65535,
    )
    assert "not localhost" in fields["nebula_address"]["description"]
    assert manager.field_behaviours["nebula_explorer"]["relabeling"]["host"] == "Explorer host"


def test_the_forms_defaults_are_those_of_an_empty_connection(info):
    from airflow.providers.common.compat.sdk import Connection

    (form,) = info["connection-types"]
    defaults = {name: field["schema"].get("default") for name, field in form["conn-fields"].items()}

    def a_connection(extra):
        text = json.dumps({"nebula_address": "graphd", **extra})
        return Connection(conn_id="c", conn_type="nebula_explorer", host="graph", login="root", extra=text)

    filled = {name: value for name, value in defaults.items() if value is not None}
    assert read_connection(a_connection(filled)) == read_connection(a_connection({}))


def test_the_forms_defaults_obey_its_own_schemas(info):
    for field in info["connection-types"][0]["conn-fields"].values():
        jsonschema.Draft7Validator.check_schema(field["schema"])
        if "default" in field["schema"]:
            jsonschema.validate(field["schema"]["default"], field["schema"])


def test_airflow_2_builds_the_same_form_from_the_hook():
    pytest.importorskip(
        "flask_appbuilder", reason="only Airflow 2 and the fab provider bring its form library"
    )
    widgets = NebulaExplorerHook.get_connection_form_widgets()
    assert list(widgets) == [field.name for field in EXTRA_FIELDS]


def test_airflow_2_calls_the_standard_fields_the_same(info):
    behaviour = NebulaExplorerHook.get_ui_field_behaviour()
    schema = json.loads((SCHEMAS / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.validate(behaviour, schema)
    form = info["connection-types"][0]["ui-field-behaviour"]
    assert {key.replace("_", "-"): value for key, value in behaviour.items()} == form


def test_a_link_is_what_the_task_left(monkeypatch):
    used = {}

    def get_value(*, key, ti_key):
        used.update(key=key, ti_key=ti_key)
        return "http://graph:7002/"

    monkeypatch.setattr("airflow_provider_nebula_explorer.links.nebula_explorer.XCom.get_value", get_value)
    link = NebulaExplorerJobLink()
    assert link.get_link(None, ti_key="ti") == "http://graph:7002/"
    assert used == {"key": link.xcom_key, "ti_key": "ti"}
    assert link.name == "NebulaGraph Explorer job"


def test_a_link_that_no_task_left_is_empty(monkeypatch):
    monkeypatch.setattr(
        "airflow_provider_nebula_explorer.links.nebula_explorer.XCom.get_value", lambda **_: None
    )
    assert NebulaExplorerJobLink().get_link(None, ti_key="ti") == ""


@pytest.mark.skipif(airflow.__version__.startswith("2."), reason="Airflow 2 reads links through its backend")
def test_a_link_is_stored_past_an_xcom_backend_as_airflow_stores_its_own(monkeypatch):
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time import task_runner

    class ObjectStorage(BaseXCom):
        @staticmethod
        def serialize_value(value, **where):
            return "file:///xcoms/1"

    sent = []
    comms = SimpleNamespace(send=sent.append)
    monkeypatch.setattr("airflow_provider_nebula_explorer.links.nebula_explorer.XCom", ObjectStorage)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    store_link(ti, "http://graph:7002/")
    assert [(message.key, message.value) for message in sent] == [
        (NebulaExplorerJobLink.xcom_key, "http://graph:7002/")
    ]
