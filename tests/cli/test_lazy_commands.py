import subprocess
import sys
import types

import pytest
import typer
from typer.testing import CliRunner

from palaestra.cli.lazy_commands import CommandRow, lazy_group
from palaestra.cli.main import COMMANDS, app


@pytest.fixture
def subject(monkeypatch):
    """A command line with one group of a subject's commands, in a module of its own."""
    group = typer.Typer(help="Worlds of tools.")

    @group.command("build")
    def build(n: int = 3) -> None:
        """Build worlds."""
        print(f"built {n}")

    @group.command("check")
    def check() -> None:
        """Check worlds."""

    monkeypatch.setitem(sys.modules, "palaestra.cli.toolsmith", types.SimpleNamespace(app=group))
    rows = {"toolsmith": CommandRow("toolsmith:app", "Subjects"), "broken": CommandRow("no_such_module:app", "Subjects")}
    return typer.Typer(cls=lazy_group(rows)), rows


def test_a_group_of_a_subject_is_loaded_when_it_is_called(subject):
    line, _ = subject
    line.callback()(lambda: None)
    done = CliRunner().invoke(line, ["toolsmith", "build", "--n", "5"])
    assert (done.exit_code, done.output) == (0, "built 5\n")  # the broken one was never looked at


def test_help_lists_commands_in_the_panel_of_their_row(subject):
    line, rows = subject
    del rows["broken"]
    line.callback()(lambda: None)
    lines = CliRunner().invoke(line, ["--help"], terminal_width=100).output.splitlines()
    panel = next(number for number, text in enumerate(lines) if "Subjects" in text)
    assert "toolsmith" in lines[panel + 1]
    assert "Worlds of tools." in lines[panel + 1]


def test_a_command_loads_no_other_command():
    program = "import sys; from palaestra.cli.main import main; main(['list', '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("palaestra.cli.") for name in done.stderr.split() if name.startswith("palaestra.cli.")}
    assert "list_envs" in loaded
    assert not loaded & {"evaluate", "train", "play", "runs", "report"}


def test_every_command_of_the_table_is_there_and_says_what_it_does():
    root = typer.main.get_command(app)
    context = typer.Context(root)
    assert root.list_commands(context) == list(COMMANDS)
    for name, row in COMMANDS.items():
        command = root.get_command(context, name)
        assert (command.name, command.rich_help_panel) == (name, row.panel)
        assert command.help
        assert command.help.strip()


@pytest.mark.parametrize(("typed", "meant"), [("lst", "list"), ("evalute", "evaluate"), ("reports", "report")])
def test_a_mistyped_command_is_told_the_nearest_one(typed, meant, capsys):
    from palaestra.cli.main import main

    assert main([typed]) == 2
    assert f"No such command '{typed}'" in (said := capsys.readouterr().err)
    assert f"'{meant}'" in said
