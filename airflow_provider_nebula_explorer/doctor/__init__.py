# SPDX-License-Identifier: Apache-2.0
"""Tries what this package assumes of Explorer against a user's own, and says what differs.

Nothing here imports Airflow, unless the account comes from an Airflow connection.
"""
