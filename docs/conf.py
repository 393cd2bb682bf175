# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the site of these pages; `make docs` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_nebula_explorer import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "airflow-provider-nebula-explorer"
version = release = __version__
html_title = f"{project} {__version__}"
html_theme = "furo"
html_copy_source = html_show_copyright = html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build"]
smartquotes_action = "De"  # dashes and ellipses, no quotes: error texts are searched for as they are printed

# The last four are in this folder.
extensions = ["myst_parser", "sphinx.ext.autodoc", "figures", "flow", "polls", "rooms"]
myst_heading_anchors = 3  # links to headings are written as GitHub writes them

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # so that a builder's own settings show nowhere
add_module_names = False  # each page says which module it is about
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

nitpicky = True
nitpick_ignore_regex = [
    # What others document. Their indexes would have to be fetched, and a build must not need the internet.
    ("py:.*", r"(airflow|asyncio|collections|datetime|pytest|time|typing)\..*"),
    ("py:class", "datetime|timedelta|Path"),  # as written where they are imported for type checkers alone
    # Names of types that the texts describe in words, and of what is no part of the public interface.
    ("py:class", r"(.*\.)?(Cookie|Encoding|HasJob|JsonObject|Missing|T|TaskResult|WorkflowInput)"),
    ("py:(class|func)", r"(.*\.)?(AccountBudget|JobSummary|Request|parse_input)"),
    ("py:data", r"(.*\.)?(INSTEAD|KINDS|SHORTEST_INTERVAL_SECONDS)"),
]
