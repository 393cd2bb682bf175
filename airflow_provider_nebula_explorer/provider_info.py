"""What Airflow discovers about this package; plain data."""

from __future__ import annotations

from typing import Any

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.connection import (
    CONNECTION_TYPE,
    EXTRA_FIELDS,
    HOOK_NAME,
    SCHEME,
    STANDARD_FORM,
    ExtraField,
)

_PACKAGE = "airflow_provider_nebula_explorer"
_ASSETS = f"{_PACKAGE}.assets.nebula_explorer"
_INTEGRATION = "NebulaGraph Explorer"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, as ``provider_info.schema.json`` of Airflow describes it."""
    return {
        "package-name": "airflow-provider-nebula-explorer",
        "name": "NebulaGraph Explorer",
        "description": "Workflows and jobs of `NebulaGraph Explorer <https://docs.nebula-graph.io/>`__",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.nebula-graph.io/",
                "logo": "/integration-logos/nebula_explorer.svg",
                "tags": ["software"],
            }
        ],
        "hooks": [_modules("hooks")],
        "operators": [_modules("operators")],
        "sensors": [_modules("sensors")],
        "triggers": [_modules("triggers")],
        "asset-uris": [
            {
                "schemes": [SCHEME],
                "handler": f"{_ASSETS}.sanitize_uri",
                "factory": f"{_ASSETS}.workflow_asset",
                "to_openlineage_converter": f"{_ASSETS}.convert_asset_to_openlineage",
            }
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.nebula_explorer.NebulaExplorerHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": {"hidden-fields": [], **STANDARD_FORM},
                "conn-fields": {field.name: _form_field(field) for field in EXTRA_FIELDS},
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.nebula_explorer.NebulaExplorerJobLink"],
    }


def _modules(kind: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{kind}.nebula_explorer"]}


def _form_field(field: ExtraField) -> dict[str, Any]:
    default = {} if field.form_default is None else {"default": field.form_default}
    schema = {**field.schema, **default}
    return {"label": field.label, "description": field.help, "schema": schema}
