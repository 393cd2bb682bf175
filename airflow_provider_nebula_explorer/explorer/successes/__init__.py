"""Notices every success of a workflow, whoever ran the job."""
