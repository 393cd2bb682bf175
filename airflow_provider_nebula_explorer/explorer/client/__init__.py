"""Talks to Explorer: each call returns the response's data, or raises why there is none."""
