"""`palaestra check ENV_ID`: does an environment keep the contract?"""

from __future__ import annotations

import typer

from palaestra.cli.options import AsJson, EnvId, Settings, parse_settings


def check(env_id: EnvId, settings: Settings = None, as_json: AsJson = False) -> None:
    """Check everything the contract promises; say what fails and how to mend it. Exits with 1 on failures."""
    from palaestra.cli.environments import known_id
    from palaestra.cli.output import console, print_json
    from palaestra.envs.check import check_environment

    report = check_environment(known_id(env_id), **parse_settings(settings))
    if as_json:
        print_json(report.to_json())
    else:
        console().print(str(report))
    if not report.ok:
        raise typer.Exit(1)
