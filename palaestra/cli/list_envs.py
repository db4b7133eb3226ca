"""`palaestra list`: every environment with what it is and what it holds."""

from __future__ import annotations

from palaestra.cli.options import AsJson
from palaestra.types import Json


def list_environments(as_json: AsJson = False) -> None:
    """List the environments: id, what it is, splits, tools, seats, the verdict of its audit."""
    from palaestra.cli.output import console, print_json, table
    from palaestra.envs.registration import list_envs

    rows = [describe(env_id) for env_id in list_envs()]
    if as_json:
        print_json(rows)
        return
    grid = table("", "Environment", "What it is", "Tasks", "Tools", "Seats", "Audit", numbers=("Tools",))
    for row in rows:
        splits = ", ".join(f"{name} {'∞' if size is None else format(size, ',')}" for name, size in row["splits"].items())
        tools = str(len(row["tools"])) if row["tools"] else "-"
        seats = ", ".join(row["seats"]) or "-"
        grid.add_row(row["id"], row["error"] or row["description"], splits or "-", tools, seats, row["audit"] or "-")
    console().print(grid)
    console().print("Look closer with: palaestra show ENV_ID")


def describe(env_id: str) -> dict[str, Json]:
    """Return the row of one environment in the list; one that cannot be made here says why. Starts nothing."""
    from palaestra.cli.environments import env_class, first_line, open_env, split_sizes, tool_names
    from palaestra.envs.registration import conditions, missing
    from palaestra.errors import PalaestraError

    row: dict[str, Json] = {
        "id": env_id,
        "description": "",
        "splits": {},
        "tools": [],
        "seats": [],
        "cost": conditions(env_id).cost,
        "audit": verdict(env_id),
        "error": missing(env_id),
    }
    try:
        row["description"] = first_line(env_class(env_id).__doc__)
        row["seats"] = list(getattr(env_class(env_id), "seats", ()))
        if row["error"]:
            return row
        env = open_env(env_id)
    except (PalaestraError, ImportError) as error:
        row["error"] = row["error"] or str(error)
        return row
    try:
        row["splits"], row["tools"] = split_sizes(env), tool_names(env)
        row["seats"] = list(getattr(env.unwrapped, "seats", ()))  # an argument may decide which there are
    finally:
        env.close()
    return row


def verdict(env_id: str) -> str | None:
    """Return the verdict of the audit card that ships for an id; None if there is none."""
    from palaestra.envs.audit.shipped import shipped_card

    card = shipped_card(env_id)
    return None if card is None else card.verdict
