"""`palaestra view`: the runs folder as pages in a browser, current while runs are written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, RunsFolder
from palaestra.errors import UsageError

if TYPE_CHECKING:
    from palaestra.agents.view import ViewServer

DEFAULT_PORT = 8742


def view(
    runs: RunsFolder = DEFAULT_RUNS,
    host: Annotated[str, typer.Option(help="Address to listen on; any but those of loopback needs a token.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            help=f"Port; 0 for any that is free. By default {DEFAULT_PORT}, or a free one if that is taken.", min=0, max=65535
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            help="What readers have to know, at least 16 characters; the first visit is ADDRESS/?token=TOKEN.",
            envvar="PALAESTRA_VIEW_TOKEN",
            show_default=False,
            show_envvar=True,
        ),
    ] = "",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Serve the runs folder to a browser: list, running runs, comparisons, transcripts. Ctrl-C ends it."""
    from palaestra.agents.masking import remember_secrets
    from palaestra.cli.output import say

    remember_secrets({"token": token})
    if os.path.isfile(runs) and runs.suffix != ".db":
        raise UsageError(f"--runs {runs} is a file; give the folder that runs are stored in, or its palaestra.db.")
    server = _server(runs, host, port, token)
    with server:
        say(f"{server.url}  shows the runs in {runs.resolve()}; Ctrl-C ends it.")
        if problem := server.pages.folder.listing().problem:
            say(f"So far: {problem}", stderr=True)
        if token:
            say("Readers need the token: on the first visit add ?token=TOKEN to the address.")
        sys.stdout.flush()
        if not no_browser and not token:
            _open(server.url)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:  # the way in which it is meant to end
            say("Ended.", stderr=True)


def _server(runs: Path, host: str, port: int | None, token: str) -> ViewServer:
    """Listen on the port that was asked for; on a free one if nobody asked and the usual one is taken."""
    from palaestra.agents.view import ViewServer

    if port is not None:
        return ViewServer(runs, host, port, token=token)
    try:
        return ViewServer(runs, host, DEFAULT_PORT, token=token)
    except UsageError as error:
        try:
            return ViewServer(runs, host, 0, token=token)
        except UsageError:
            raise error from None


def _open(url: str) -> None:
    """Open a browser where there is a screen for one; a browser of texts would take this terminal."""
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if has_screen:
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
