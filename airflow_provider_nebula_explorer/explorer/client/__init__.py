"""Talks to Explorer: makes one call, which is answered or refused."""
