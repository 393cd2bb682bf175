# SPDX-License-Identifier: Apache-2.0
"""Notices every success of a workflow, whoever ran the job."""
