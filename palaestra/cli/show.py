"""`palaestra show ENV_ID`: the page of one environment."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

from palaestra.cli.options import AsJson, EnvId, Settings, parse_settings
from palaestra.envs.core.outermost import outermost
from palaestra.envs.registration import find_spec
from palaestra.types import Json, Message

TYPES_SEEN = 500


def show(env_id: EnvId, settings: Settings = None, as_json: AsJson = False) -> None:
    """Show an environment: its page, arguments, tasks, tools and how an episode opens."""
    from palaestra.cli.environments import open_env
    from palaestra.cli.output import print_json

    env = open_env(env_id, parse_settings(settings))
    try:
        page = _page(env_id, env)
    finally:
        env.close()
    if as_json:
        print_json(page)
    else:
        _print(page)


def _page(env_id: str, env: Any) -> dict[str, Json]:
    """Return everything the page shows."""
    from palaestra.cli.environments import arguments, split_sizes
    from palaestra.results.metrics import declared_by

    inner = env.unwrapped
    opening = _opening(env) if not getattr(inner, "blocks", False) else _closed(inner)  # a page must not start an engine
    return {
        "id": env_id,
        "docstring": inspect.cleandoc(type(env.unwrapped).__doc__ or "-"),
        "arguments": arguments(env_id),
        "splits": split_sizes(env),
        "task_types": _task_types(env),
        "seats": _seats(inner),
        "published_ids": _published_ids(env),
        "full_return": getattr(inner, "full_return", 1.0),
        "audit": _audit(env_id),
        "metrics": [metric.to_json() for metric in declared_by(env)],
        "tools": list(opening.pop("tools") or ()),
        "opening": opening,
    }


def _audit(env_id: str) -> dict[str, Json] | None:
    """Return verdict, best floor and ceiling of the audit card that ships, and the points that do not pass; None if none."""
    from palaestra.envs.audit.shipped import floor_of, shipped_card

    card = shipped_card(find_spec(env_id).id)
    if card is None:
        return None
    floor = floor_of(card.floors)
    return {
        "verdict": card.verdict,
        "n": card.n,
        "split": card.split,
        "floor": None if floor is None else floor.to_json(),
        "ceiling": dict(card.ceiling),
        "points": [{"name": point.name, "verdict": point.verdict} for point in card.points if point.verdict != "pass"],
    }


def _opening(env: Any) -> dict[str, Json]:
    """Return how an episode begins."""
    observation, info = env.reset(seed=0)
    expert = outermost(env, "expert")
    return {
        "task": info.get("task"),
        "instructions": info.get("instructions", ""),
        "observation": observation,
        "expert": _text(next(iter(expert()), None)) if callable(expert) else None,
        "tools": info.get("tools"),
    }


def _closed(inner: Any) -> dict[str, Json]:
    """Return what an environment says before an episode begins."""
    says = {name: getattr(inner, name, None) for name in ("instructions", "tools")}
    return {name: method() if callable(method) else None for name, method in says.items()}


def _task_types(env: Any) -> dict[str, dict[str, int]]:
    """Count task types over the first tasks of each split."""
    tasks = getattr(env.unwrapped, "tasks", None)
    if tasks is None:
        return {}
    counts = {
        split: Counter(task.type for task in tasks.split(split).first(TYPES_SEEN) if task.type) for split in tasks.splits
    }
    return {split: dict(sorted(found.items())) for split, found in counts.items() if found}


def _seats(inner: Any) -> list[dict[str, Json]]:
    """Return the seats of an environment with several: their names, what they are, who plays them without being told."""
    players, judges = getattr(inner, "players", {}), getattr(inner, "judges", ())
    return [
        {
            "name": name,
            "role": "policy" if name == inner.seat else "judge" if name in judges else "other",
            "personas": list(inner.personas.get(name, ())),
            "player": None if name == inner.seat else players.get(name),
        }
        for name in getattr(inner, "seats", ())
    ]


def _published_ids(env: Any) -> dict[str, int]:
    """Count the ids of each published mapping."""
    from palaestra.envs.core.task_aliases import mapping_of

    tasks = getattr(env.unwrapped, "tasks", None)
    return dict(sorted(Counter(map(mapping_of, getattr(tasks, "aliases", ()))).items()))


def _text(action: object) -> str | None:
    """Return an action as the text it stands for."""
    from palaestra.envs.formats.hermes import format_message

    return format_message(action) if isinstance(action, Message) else action if isinstance(action, str) else None


def _told_audit(audit: dict[str, Json]) -> str:
    """Return the audit card in a few lines."""
    floor, success = audit["floor"], audit["ceiling"]["success"]
    lines = [f"{audit['verdict']}, from {audit['n']:,} tasks of split {audit['split']}"]
    if floor is not None:
        lines.append(f"for free: success {100 * floor['success']:.1f} % (agent {floor['agent']!r} of the panel)")
    lines.append(f"expert: success {100 * success:.1f} %" if success is not None else "expert: not known")
    lines += [f"{point['verdict']}: {point['name']}" for point in audit["points"]]
    return "\n".join(lines)


def _print(page: dict[str, Json]) -> None:
    """Print the page for people."""
    from rich.markdown import Markdown
    from rich.padding import Padding

    from palaestra.cli.output import console, table

    out = console()

    def section(title: str, text: str = "") -> None:
        out.print()
        out.print(title, style="bold")
        if text:
            out.print(Padding(text, (0, 0, 0, 2)))

    out.print(page["id"], style="bold")
    out.print(Markdown(page["docstring"]) if out.is_terminal else page["docstring"])
    section("Arguments (--set KEY=VALUE)")
    grid = table("", "Name", "Default")
    for name, default in page["arguments"].items():
        grid.add_row(name, default)
    out.print(grid)
    section("Tasks")
    for split, size in page["splits"].items():
        types = page["task_types"].get(split, {})
        counted = ", ".join(f"{name} ({count})" for name, count in types.items())
        note = f" of the first {TYPES_SEEN}" if counted and (size is None or size > TYPES_SEEN) else ""
        out.print(
            f"  {split}: {'without end' if size is None else format(size, ',')}"
            + (f"; types{note}: {counted}" if counted else "")
        )
    for mapping, number in page["published_ids"].items():
        out.print(f"  published ids: {mapping}#N ({number:,})", highlight=False)
    if page["full_return"] != 1:
        full = page["full_return"]
        out.print(f"  return of a solved episode: {'not fixed' if full is None else format(full, 'g')}")
    if page["audit"]:
        section("Audit", _told_audit(page["audit"]))
    if page["seats"]:
        section("Seats (--seat NAME=MODEL, NAME=persona:PERSONA or NAME=human)")
        grid = table("", "Name", "Role", "Personas")
        for seat in page["seats"]:
            personas = [f"{one} (plays)" if one == seat["player"] else one for one in seat["personas"]]
            grid.add_row(
                seat["name"], {"policy": "--model plays it"}.get(seat["role"], seat["role"]), ", ".join(personas) or "-"
            )
        out.print(grid)
    if page["metrics"]:
        section("Metrics, in addition to score and success")
        grid = table("", "Name", "Better", "Unit", "What it is")
        for metric in page["metrics"]:
            grid.add_row(metric["name"], metric["better"] or "-", metric["unit"] or "-", metric["about"])
        out.print(grid)
    if page["tools"]:
        task = (page["opening"].get("task") or {}).get("key")
        section(f"Tools (of task {task}; others may have others)" if task else "Tools")
        grid = table("", "Name", "Arguments", "What it does")
        for tool in page["tools"]:
            function = tool["function"]
            properties = function.get("parameters", {}).get("properties", {})
            grid.add_row(function["name"], ", ".join(properties), function.get("description", "").splitlines()[0])
        out.print(grid)
    opening = page["opening"]
    section("Instructions", opening["instructions"] or "")
    if "observation" in opening:
        section(f"An episode opens (task {(opening['task'] or {}).get('key', '')})", opening["observation"])
    else:
        section("An episode opens", "Not shown: its engine starts with the first episode.")
    if opening.get("expert"):
        section("The expert would begin with", opening["expert"])
    out.print()
    out.print(f"Play it yourself: palaestra play {page['id']}", style="dim", soft_wrap=True)
