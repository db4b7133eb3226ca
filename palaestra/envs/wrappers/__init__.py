"""Wrappers that change how an environment is played, not what it is."""
