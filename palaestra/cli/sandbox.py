"""`palaestra sandbox`: what runs untrusted code here."""

from __future__ import annotations

import typer

from palaestra.cli.options import AsJson

app = typer.Typer(help="The sandbox for untrusted code: what works on this machine.", no_args_is_help=True)

DOES_NOT_WORK = 1


@app.callback()
def sandbox() -> None:
    """The sandbox for untrusted code: what works on this machine."""


@app.command("doctor")
def doctor(as_json: AsJson = False) -> None:
    """Try both executors: start, time of a call, a list of escapes; say what is missing or refused.

    Exits with 1 if something does not work; the lines say what to install.
    """
    from palaestra.cli.output import print_json, say
    from palaestra.envs.sandbox.doctor import examine

    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            say(f"{'ok     ' if finding.works else 'MISSING'}  {finding.name:<18} {finding.told}")
    if as_json:
        print_json([finding.to_json() for finding in found])
    if not all(finding.works for finding in found):
        raise typer.Exit(DOES_NOT_WORK)
