"""Runs on disk: every finished episode at once, killed at any instant or not."""

from palaestra.agents.store.store import RunStore

__all__ = ["RunStore"]
