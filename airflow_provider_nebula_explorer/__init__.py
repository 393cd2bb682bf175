# SPDX-License-Identifier: Apache-2.0
"""Apache Airflow provider for the workflow API of NebulaGraph Explorer."""

__version__ = "0.1.0"
