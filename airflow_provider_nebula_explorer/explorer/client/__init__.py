# SPDX-License-Identifier: Apache-2.0
"""Talks to Explorer: each call returns the response's data, or raises why there is none."""
