"""Algorithms, and rewards per turn, on the desk."""
