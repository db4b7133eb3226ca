"""LLM backends: one file each, one line in the table of `palaestra.agents.backends.registry`."""
