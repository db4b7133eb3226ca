"""Worlds and their Gymnasium faces."""
