"""Commands by name, each imported when it is called or when help is shown.

A row names the file, what in it is the command (a function, or a `typer.Typer` for a group of commands) and the help panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class CommandRow(NamedTuple):
    """Where a command is, and in which panel of `palaestra --help` it is listed.

    Attributes:
        target: `module:attribute`, the module below `palaestra.cli`; a function, or a `typer.Typer` for a group.
        panel: Title of its help panel.
    """

    target: str
    panel: str


def lazy_group(rows: Mapping[str, CommandRow]) -> type[TyperGroup]:
    """Return a group class whose commands are those of a table, in its order."""

    class LazyCommands(TyperGroup):
        """Looks commands up in a table and imports them one by one."""

        def list_commands(self, ctx: Any) -> list[str]:
            """Return the names in the order of the table."""
            return list(rows)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """Import a command; None if there is none of this name."""
            wanted = (cmd_name,) if cmd_name in rows else rows  # typer suggests the nearest of those that it knows
            for name in wanted:
                if name not in self.commands:
                    self.commands[name] = _load(name, rows[name])
            return self.commands.get(cmd_name)

    return LazyCommands


def _load(name: str, row: CommandRow) -> Any:
    """Import a command and give it its name and panel."""
    module, _, attribute = row.target.partition(":")
    found = getattr(import_module(f"palaestra.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    command.rich_help_panel = row.panel
    return command


__all__ = ["CommandRow", "lazy_group"]
