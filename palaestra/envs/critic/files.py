"""Files of items: published ones (`{id: item}`), `critic/1` as JSON lines, and folders as the published data is laid out.

An item that cannot be used does not stop the others: it is listed in `Items.faults` with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.critic.documents import CriticDataError
from palaestra.envs.critic.record import FAMILIES, Record, of_published, to_published
from palaestra.errors import ConfigError, MissingDataError
from palaestra.types import Json
from palaestra.types.plain_json import strict_json

MAX_BYTES = 1_000_000_000
LINES = ".jsonl"
PARTS = tuple((family, stage, cot) for family in FAMILIES for stage in ("base", "evol") for cot in ("wo", "w"))
"""Family, stage and thoughts of the files of a published folder."""


@dataclass(frozen=True)
class Items:
    """The items of a file or folder.

    Attributes:
        records: Those that can be used, in order.
        faults: What is wrong with the others, by their ids.
    """

    records: tuple[Record, ...]
    faults: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        """Return the records in order."""
        return iter(self.records)


def open_items(path: str | Path) -> Items:
    """Read the items of a file or folder.

    Args:
        path: `*.jsonl` with `critic/1` records, `*.json` with published items, or a folder with `internal_error` and
            `external_error`. A published file tells by its name whether it is evolved (`evol`) and has thoughts (`w_cot`).

    Raises:
        MissingDataError: If there is nothing at `path`, or the folder holds none of the files.
        ConfigError: If it cannot be read, or is not of these forms.
    """
    place = place_of(path)
    kind = kind_of(place)
    if kind == "nothing":
        raise MissingDataError(
            f"There is no file or folder {shown(place)}; expected a file of items (*.json as published, *.jsonl of critic/1) "
            f"or a folder with {', '.join(_name(*part) for part in PARTS[:2])} and so on."
        )
    if kind == "file":
        return _file(place)
    found = [(part, place / _name(*part)) for part in PARTS if kind_of(place / _name(*part)) == "file"]
    if not found:
        raise MissingDataError(f"{shown(place)} holds none of the files {', '.join(_name(*part) for part in PARTS)}.")
    records: list[Record] = []
    faults: dict[str, str] = {}
    for (_, stage, cot), file in found:
        items = _file(file, prefix=f"{stage}-{cot}/")
        records += items.records
        faults |= items.faults
    return _unique(records, faults, place)


def write_items(path: str | Path, records: Iterable[Record]) -> int:
    """Write items, as `critic/1` lines to a `*.jsonl`, as one published object to any other file.

    Args:
        path: The file; it is replaced as a whole.
        records: The items.

    Returns:
        How many there were.

    Raises:
        ConfigError: If an id stands twice.
    """
    place = place_of(path)
    kept = list(records)
    if twice := _twice(record.id for record in kept):
        raise ConfigError(f"The id {twice!r} stands twice; ids of a file are unique.")
    if place.suffix == LINES:
        text = "".join(record.to_line() + "\n" for record in kept)
    else:
        text = json.dumps({record.id: to_published(record) for record in kept}, ensure_ascii=False, indent=1) + "\n"
    partial = place.with_name(f".{place.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(place)
    return len(kept)


def _file(place: Path, prefix: str = "") -> Items:
    """Read one file."""
    text = read_text(place, max_bytes=MAX_BYTES)
    if place.suffix == LINES:
        return _lines(text, place)
    try:
        found = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown(place)} is not JSON ({error}); expected an object of items by id.") from None
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{shown(place)} holds {type(found).__name__}; expected an object of items by id, at least one.")
    cot = {"w_cot": True, "wo_cot": False}.get(next((end for end in ("wo_cot", "w_cot") if place.stem.endswith(end)), ""))
    evolution = ["evolved"] if place.name.startswith("evol") else []
    records: list[Record] = []
    faults: dict[str, str] = {}
    for key, item in found.items():
        try:
            records.append(of_published(f"{prefix}{key}", item, cot=cot, evolution=evolution))
        except CriticDataError as error:
            faults[f"{prefix}{key}"] = str(error)
    return _unique(records, faults, place)


def _lines(text: str, place: Path) -> Items:
    """Read lines of `critic/1`."""
    records: list[Record] = []
    faults: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{shown(place)}, line {number}"
        try:
            found: Json = strict_json(line)
        except (ValueError, RecursionError) as error:
            faults[where] = f"{where} is not JSON ({error})."
            continue
        try:
            records.append(Record.of(found, where))
        except CriticDataError as error:
            faults[where] = str(error)
    return _unique(records, faults, place)


def _unique(records: list[Record], faults: dict[str, str], place: Path) -> Items:
    """Return items whose ids are unique, at least one."""
    if twice := _twice(record.id for record in records):
        raise ConfigError(f"The id {twice!r} stands twice in {shown(place)}; ids are unique.")
    if not records:
        first = next(iter(faults.values()), "it is empty")
        raise ConfigError(f"{shown(place)} holds no item that can be used, of {len(faults)}: {first}")
    return Items(tuple(records), faults)


def _twice(ids: Iterable[str]) -> str:
    """Return an id that stands twice, "" if there is none."""
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            return one
        seen.add(one)
    return ""


def _name(family: str, stage: str, cot: str) -> str:
    """Return the path of a file of a published folder."""
    return f"{family}_error/{stage}_data_{cot}_cot.json"


__all__ = ["LINES", "MAX_BYTES", "PARTS", "Items", "open_items", "write_items"]
