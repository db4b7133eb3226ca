"""`palaestra`: the command line. One thin command a file; everything heavy is imported inside of them.

Exit codes: 0 all well; 1 a check or run found failures; 2 wrong usage, told in one line; 3 a run ended with episode
errors, or before its end; 130 interrupted (Ctrl-C or SIGTERM), with the command that
goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated

import typer

from palaestra.agents.masking import masked_error, masked_message
from palaestra.cli.lazy_commands import CommandRow, lazy_group
from palaestra.cli.output import Interrupted, say
from palaestra.errors import BudgetError, PalaestraError, UsageError

ENVIRONMENTS, RUNS, SUBJECTS = "Environments", "Runs", "Subjects"

# what holds for every environment, run or data file is a verb or noun here; what belongs to one subject is a group with that
# subject's name in the panel "Subjects", e.g. "toolforge": CommandRow("toolforge:app", SUBJECTS), one file in palaestra/cli
COMMANDS = {
    "list": CommandRow("list_envs:list_environments", ENVIRONMENTS),
    "show": CommandRow("show:show", ENVIRONMENTS),
    "check": CommandRow("check:check", ENVIRONMENTS),
    "audit": CommandRow("audit:audit", ENVIRONMENTS),
    "play": CommandRow("play:play", ENVIRONMENTS),
    "evaluate": CommandRow("evaluate:evaluate", RUNS),
    "train": CommandRow("train:train", RUNS),
    "runs": CommandRow("runs:app", RUNS),
    "export": CommandRow("export:export", RUNS),
    "report": CommandRow("report:report", RUNS),
    "compare": CommandRow("compare:compare", RUNS),
    "plan": CommandRow("plan:plan", RUNS),
    "view": CommandRow("view:view", RUNS),
    "sandbox": CommandRow("sandbox:app", SUBJECTS),
    "toolforge": CommandRow("toolforge:app", SUBJECTS),
    "critic": CommandRow("critic:app", SUBJECTS),
    "init": CommandRow("init:init", RUNS),
    "demo": CommandRow("demo:demo", RUNS),
}

app = typer.Typer(
    name="palaestra",
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Environments for LLM agents: list and play them, evaluate agents in them, train policies on them.",
)


def _print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from importlib.metadata import version as installed_version  # 30 ms that no other command needs

        say(installed_version("palaestra"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """Take the options that stand before the command."""
    del version, debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Words after the program's name; `sys.argv` by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    with _ended_in_order():
        return _run(words, debug=debug)


def _run(words: list[str], *, debug: bool) -> int:
    """Run a command and return its exit code."""
    try:
        code = _exit_code(app(words, standalone_mode=False, prog_name="palaestra", obj=tuple(words)))
        return _fail("interrupted.", code) if code == 130 else code  # typer takes Ctrl-C and says nothing
    except Exception as error:
        error = masked_error(error)
        if debug and not isinstance(error, BrokenPipeError):
            raise error
        return _tell(error)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what was played is kept, engines and workers end with it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script: nobody hears Ctrl-C there
            signal.default_int_handler(number, frame)
        signal.raise_signal(signal.SIGINT)  # whoever has taken over Ctrl-C, such as asyncio, is asked

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tell(error: Exception) -> int:
    """Turn an exception into one line and an exit code; what nobody foresaw is raised on."""
    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, Interrupted):
        return _fail(str(error), 130)
    if isinstance(error, typer.Abort):
        return _fail("stopped; nothing was changed.", 130)
    if isinstance(error, BudgetError):
        return _fail(str(error), 3)
    if isinstance(error, UsageError):
        return _fail(str(error), 2)
    if isinstance(error, PalaestraError):
        return _fail(str(error), 1)
    if hasattr(error, "format_message"):  # a wrong option or command, as typer words it
        command = getattr(getattr(error, "ctx", None), "command_path", "palaestra")
        message = error.format_message().rstrip(".").replace("Value error, ", "")  # pydantic's words inside of typer's
        return _fail(f"{message}. See: {command} --help", 2)
    raise error


def _fail(message: str, code: int) -> int:
    """Print one line on standard error."""
    say(f"palaestra: error: {' '.join(masked_message(message).split())}", stderr=True)
    return code


def _exit_code(result: object) -> int:
    """Return the code of `typer.Exit`, which typer hands over as a number."""
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
