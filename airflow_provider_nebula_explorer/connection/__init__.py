# SPDX-License-Identifier: Apache-2.0
"""An Airflow connection to Explorer: its fields, and how they are read.

Airflow's discovery of providers imports this package, which therefore does not import Airflow.
"""
