"""Waits for jobs, one or ten thousand: polls, counts failures, logs changes, ends."""
