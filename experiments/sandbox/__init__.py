"""Attacks on the sandbox, and differences between its executors."""
