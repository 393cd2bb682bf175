# SPDX-License-Identifier: Apache-2.0
"""Starts a job once, though responses are lost, and passes it from one attempt of a task to the next."""
