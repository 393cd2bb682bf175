"""NebulaGraph Explorer's workflow API, usable from any Python program: nothing here imports Airflow."""
