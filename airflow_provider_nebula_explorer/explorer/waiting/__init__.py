"""Waits for jobs, for one or for ten thousand."""
