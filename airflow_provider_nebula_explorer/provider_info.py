# SPDX-License-Identifier: Apache-2.0
"""What Airflow discovers about this package; plain data."""

from __future__ import annotations

from typing import Any

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.connection.fields import (
    CONNECTION_TYPE,
    EXTRA_FIELDS,
    HOOK_NAME,
    SCHEME,
    STANDARD_FORM,
    ExtraField,
)

_PACKAGE = "airflow_provider_nebula_explorer"
_DOCS = "https://docs.nebula-graph.io/"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as ``provider_info.schema.json`` of Airflow describes it."""
    return {
        "package-name": "airflow-provider-nebula-explorer",
        "name": HOOK_NAME,
        "description": f"Workflows and jobs of `{HOOK_NAME} <{_DOCS}>`__",
        "versions": [__version__],
        "integrations": [_integration()],
        **{kind: [_modules(kind)] for kind in ("hooks", "operators", "sensors", "triggers")},
        "asset-uris": [_asset_uris()],
        "dataset-uris": [_asset_uris()],  # what Airflow 2 calls them
        "connection-types": [_connection_type()],
        "extra-links": [f"{_PACKAGE}.links.nebula_explorer.NebulaExplorerJobLink"],
        "config": {
            "nebula_explorer": {
                "description": "NebulaGraph Explorer.",
                "options": {"state_dir": _state_dir()},
            }
        },
    }


def _state_dir() -> dict[str, Any]:
    return {
        "description": (
            "The folder in which processes share what must outlive them: the login to Explorer and, before "
            "Airflow 3.3, the notes of tasks that run a workflow. It is made at first use, for this Unix "
            "user alone; the folder above it has to exist. Machines that mount the same folder share it, "
            "too. Default: nebula_explorer below AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/mnt/airflow/nebula_explorer",
        "default": None,
    }


def _integration() -> dict[str, Any]:
    logo = "/integration-logos/nebula_explorer.svg"
    return {"integration-name": HOOK_NAME, "external-doc-url": _DOCS, "logo": logo, "tags": ["software"]}


def _modules(kind: str) -> dict[str, Any]:
    return {"integration-name": HOOK_NAME, "python-modules": [f"{_PACKAGE}.{kind}.nebula_explorer"]}


def _asset_uris() -> dict[str, Any]:
    module = f"{_PACKAGE}.assets.nebula_explorer"
    return {
        "schemes": [SCHEME],
        "handler": f"{module}.sanitize_uri",
        "factory": f"{module}.workflow_asset",
        "to_openlineage_converter": f"{module}.convert_asset_to_openlineage",
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": CONNECTION_TYPE,
        "hook-class-name": f"{_PACKAGE}.hooks.nebula_explorer.NebulaExplorerHook",
        "hook-name": HOOK_NAME,
        "ui-field-behaviour": {"hidden-fields": [], **STANDARD_FORM},
        "conn-fields": {field.name: _form_field(field) for field in EXTRA_FIELDS},
    }


def _form_field(field: ExtraField) -> dict[str, Any]:
    default = {} if field.form_default is None else {"default": field.form_default}
    return {"label": field.label, "description": field.help, "schema": {**field.schema, **default}}
