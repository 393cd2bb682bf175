# SPDX-License-Identifier: Apache-2.0
"""Waits for jobs, one or ten thousand: polls, counts failures, logs changes, ends."""
