"""Algorithms on the tiny desk, from a clone that copies some of its values."""
