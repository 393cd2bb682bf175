"""Starts a job once: finds out what came of a start, and passes it from one attempt of a task to the next."""
