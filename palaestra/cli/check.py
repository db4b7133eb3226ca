"""`palaestra check ENV_ID`: does an environment keep the contract?"""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from palaestra.cli.options import AsJson, EnvId, Settings, parse_settings
from palaestra.errors import EnvironmentFault

FAILURES = 1


def check(
    env_id: EnvId,
    settings: Settings = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this check. Repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Check everything the contract promises; say what fails and how to fix it. Exits with 1 on failures."""
    from palaestra.cli.environments import find_spec, open_env
    from palaestra.cli.output import busy, console, print_json
    from palaestra.envs.check import check_environment

    arguments = parse_settings(settings)
    find_spec(env_id)
    if arguments:
        with contextlib.suppress(EnvironmentFault):  # the check says more about those
            open_env(env_id, arguments).close()
    with busy(f"checking {env_id}"):
        report = check_environment(env_id, kwargs=arguments, only=only, seed=seed)
    if as_json:
        print_json(report.to_json())
    else:
        console().print(str(report), soft_wrap=True)
    if not report.ok:
        raise typer.Exit(FAILURES)
