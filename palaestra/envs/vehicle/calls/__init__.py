"""Calling functions: the language of calls, how arguments are bound, what each function does."""
