"""Checkers: one module for each family of kinds, with what they share in `bounds`."""
