"""The desk: a miniature tool world with calendar, notes and contacts, and the worked example of how to write one."""

__all__: list[str] = []
