"""Attacks on what stands: what was damaged, killed, flooded or run very often, and what came of it."""
