"""Advantages, losses and training loops."""
