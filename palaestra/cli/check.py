"""`palaestra check ENV_ID` and `palaestra check --all`: do environments keep the contract?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.agents.masking import masked, masked_message
from palaestra.agents.rollout.plans import MAX_SEED, MAX_WORKERS
from palaestra.cli.options import AnyEnvId, AsJson, Settings, parse_settings
from palaestra.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from palaestra.envs.check import Checked

FAILURES = 1


def check(
    env_id: AnyEnvId = None,
    every: Annotated[bool, typer.Option("--all", help="Check every environment of the list.")] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", help="With --all: processes that check at once.", min=1, max=MAX_WORKERS)
    ] = 1,
    settings: Settings = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this check. Repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", min=0, max=MAX_SEED)] = 0,
    as_json: AsJson = False,
) -> None:
    """Check everything the contract promises; say what fails and how to fix it. Exits with 1 on failures."""
    arguments = parse_settings(settings)
    if every:
        if env_id is not None or arguments:
            raise UsageError("--all checks every environment as it is; leave out the id and --set.")
        _check_all(jobs, only, seed, as_json=as_json)
        return
    if env_id is None:
        raise UsageError("There is no environment to check; name one (palaestra list), or check all of them with --all.")
    from palaestra.cli.environments import open_env
    from palaestra.cli.output import busy, console, print_json
    from palaestra.envs.check import check_environment
    from palaestra.envs.registration import find_spec, require

    require(find_spec(env_id).id, arguments)
    if arguments:
        with contextlib.suppress(EnvironmentFault):  # the check says more about those
            open_env(env_id, arguments).close()
    with busy(f"checking {env_id}"):
        report = check_environment(env_id, kwargs=arguments, only=only, seed=seed)
    if as_json:
        print_json(masked(report.to_json()))
    else:
        console().print(masked_message(str(report)), soft_wrap=True)
    if not report.ok:
        raise typer.Exit(FAILURES)


def _check_all(jobs: int, only: Sequence[str] | None, seed: int, *, as_json: bool) -> None:
    """Check every environment of the list; one that needs something that is not here is not tried."""
    from palaestra.cli.output import busy, console, print_json
    from palaestra.envs.check import check_every

    found: list[Checked] = []
    with busy("checking every environment"):
        for checked in check_every(jobs=jobs, only=only, seed=seed):
            found.append(checked)
            if not as_json:
                console().print(_line(checked), soft_wrap=True)
    num_ok, failures = sum(one.ok for one in found), [one.env_id for one in found if one.report and not one.ok]
    if as_json:
        rows = [checked.to_json() for checked in found]
        print_json({"ok": not failures, "num_ok": num_ok, "num_environments": len(found), "environments": rows})
    else:
        parts = [f"{num_ok} of {len(found)} environments keep the contract"]
        if failures:
            parts.append(f"{len(failures)} failed: {', '.join(failures)}")
        if others := len(found) - num_ok - len(failures):
            parts.append(f"{others} not tried")
        console().print("; ".join(parts), soft_wrap=True)
    if failures:
        raise typer.Exit(FAILURES)


def _line(checked: Checked) -> str:
    """Return one line about an environment that passed, everything about one that did not."""
    if checked.report is None:
        return f"-    {checked.env_id}: not tried: {checked.not_tried}"
    if not checked.ok:
        return f"FAIL {checked.report}"
    return f"ok   {str(checked.report).splitlines()[0]}"
