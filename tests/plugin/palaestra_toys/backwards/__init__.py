"""Words said backwards: a toy environment with metrics and results of its own, in one folder."""
