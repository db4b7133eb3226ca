"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from palaestra.agents.masking import remember_secrets
from palaestra.envs.core.data_files import parse_toml
from palaestra.errors import ConfigError, UsageError
from palaestra.lazy import look_in_working_directory
from palaestra.types import Json

DEFAULT_RUNS = Path("runs")


def typed_id(env_id: str | None) -> str | None:
    """Return an id that somebody typed; the module of `module:Name-v0` may lie in the current folder.

    Not for ids of stored runs: their author is not to choose what is imported from here.
    """
    if env_id is not None and ":" in env_id:
        look_in_working_directory()
    return env_id


EnvId = Annotated[
    str,
    typer.Argument(
        metavar="ENV_ID", help="Registered id, e.g. palaestra/TextCraft-v0.", show_default=False, callback=typed_id
    ),
]
AnyEnvId = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV_ID]", help="Registered id, e.g. palaestra/TextCraft-v0.", show_default=False, callback=typed_id
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Argument of the environment; the value is a TOML literal (3, true, [1, 2]) or else a text. Repeatable.",
        show_default=False,
    ),
]
EachSetting = Annotated[
    list[str] | None,
    typer.Option(
        "--each",
        metavar="KEY=V1,V2,...",
        help="Play once with each of these values of an argument, side by side. Repeatable: then every combination.",
        show_default=False,
    ),
]
RunsFolder = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of the run store.", envvar="PALAESTRA_RUNS")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]


def expect_path(out: Path) -> None:
    """Refuse a hyphen as the place to write to.

    Raises:
        UsageError: If it is one.
    """
    if str(out) == "-":
        raise UsageError(
            "--out is '-'; standard output is for messages and --json. Name a file: it appears when it is complete."
        )


def new_run_ids(names: Sequence[str]) -> list[str]:
    """Return names for new runs: when, and who."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] for name in names]
    return [f"{stamp}-{slug}" if slugs.count(slug) == 1 else f"{stamp}-{i}-{slug}" for i, slug in enumerate(slugs)]


def parse_settings(assignments: Iterable[str] | None, flag: str = "--set") -> dict[str, Json]:
    """Read `key=value` texts.

    Args:
        assignments: Texts such as `max_turns=12`; values that are not a TOML literal stay texts.
        flag: What they were given with, for messages.

    Raises:
        ConfigError: Without a key or an equals sign.
    """
    settings: dict[str, Json] = {}
    for assignment in assignments or ():
        key, equals, value = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"{flag} got {assignment!r}; expected KEY=VALUE, e.g. {flag} max_turns=12.")
        settings[key] = parse_value(value.strip())
    remember_secrets(settings)
    return settings


def parse_each(assignments: Iterable[str] | None) -> list[dict[str, Json]]:
    """Read `key=value,value,...` texts into every combination of their values, the last key changing fastest.

    Args:
        assignments: Texts such as `mode=fc,sfc`; values that contain commas are given as a TOML list (`tags=["a,b", "c"]`).

    Returns:
        The combinations; a single empty one without any assignment.

    Raises:
        ConfigError: Without a key or a value, or if a key or a value is given twice.
    """
    choices: dict[str, list[Json]] = {}
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        key, text = key.strip(), text.strip()
        if not equals or not key or not text:
            raise ConfigError(f"--each got {assignment!r}; expected KEY=VALUE,VALUE, e.g. --each max_turns=12,24.")
        if key in choices:
            raise ConfigError(f"--each names {key} twice; write all its values in one, e.g. --each {key}=A,B,C.")
        whole = parse_value(text)
        values = whole if isinstance(whole, list) else [parse_value(part.strip()) for part in text.split(",")]
        if not values or "" in values or len({(type(value), str(value)) for value in values}) < len(values):
            raise ConfigError(f"--each got {assignment!r}; expected values that differ, none of them empty.")
        choices[key] = values
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def parse_value(text: str) -> Json:
    """Read a TOML literal; anything else is the text itself."""
    try:
        table = parse_toml(f"value = {text}")
    except ValueError:
        return text
    value = table.get("value")
    plain = isinstance(value, (bool, int, float, str, list, dict))  # dates are left as they were typed
    return value if set(table) == {"value"} and plain else text
