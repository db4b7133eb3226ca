"""Files of instances: `toolenv/1` as JSON lines, published rows as JSON lines or parquet.

Opening a file reads the head of every line only (key, split, scenario), so that thousands of instances are there at once; an
instance is read and checked when it is taken. A line that is cut off, of another format or of another version is an error at
opening, with its number.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from palaestra.envs.core.data_files import kind_of, place_of, shown
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import FORMAT, Instance, InstanceError, json_of
from palaestra.envs.toolforge.rows import FIELDS, PREFIX, default_id, instance_of_row, row_of_instance
from palaestra.errors import ConfigError, MissingDataError, MissingExtraError
from palaestra.types import Json

MAX_LINE_BYTES = 16_000_000
FileFormat = Literal["toolenv", "ftrl"]

_ID = rb'"((?:[^"\\\x00-\x1f]){1,256})"'  # an id with an escape goes the slow way
_OWN_HEAD = re.compile(rb'\{"format": ?"toolenv/1", ?"id": ?' + _ID + rb', ?"source": ?"(procedural|llm|ftrl)"')
_OWN_SCENARIO = re.compile(rb'"builder_version": ?"[^"\\]*", ?"scenario": ?"([a-z_]+)"')
_OWN_SPLIT = re.compile(rb'"meta": ?\{"split": ?"([^"\\]+)"')
_OWN_HEAD_BYTES = 400
_ROW_SPLIT = re.compile(rb'"split": ?"([^"\\]*)"')
_ROW_SOURCE = re.compile(rb'"data_source": ?"([^"\\]*)"')
_ROW_ID = re.compile(rb'\{"id": ?' + _ID + rb", ?")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an instance: its key, split and scenario, and where its line begins."""

    key: str
    split: str
    scenario: str
    place: int = 0


@dataclass(frozen=True)
class InstanceFile(ABC):
    """An opened file of instances.

    Attributes:
        path: The file.
        heads: Key, split and scenario of every instance, in the order of the file.
    """

    path: Path
    heads: tuple[Head, ...] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.heads)

    def __iter__(self) -> Iterator[Instance]:
        """Read the instances in order."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Instance:
        """Read an instance by its position.

        Raises:
            IndexError: If there is none.
            InstanceError: If it is not a valid instance, or not the one that was there when the file was opened.
        """
        head = self.heads[index]
        where = f"{shown(self.path)}, row {range(len(self))[index] + 1}"
        found = self._read(range(len(self))[index], where)
        if (found.id, found.split, found.scenario) != (head.key, head.split, head.scenario):
            raise InstanceError(f"{where} holds {found.id!r}, not {head.key!r}: the file has changed; open it again.")
        return found

    @abstractmethod
    def _read(self, index: int, where: str) -> Instance:
        """Read an instance."""


@dataclass(frozen=True)
class LinesFile(InstanceFile):
    """A file of JSON lines; each is an instance or a published row."""

    def _read(self, index: int, where: str) -> Instance:
        """Read one line of the file."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.heads[index].place)
                line = file.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise ConfigError(f"{where} cannot be read: {error.strerror}. Open the file again.") from None
        value = json_of(line, where)
        if isinstance(value, dict) and "format" in value:
            return Instance.of(value, where)
        return instance_of_row(value, number=index, where=where)


@dataclass(frozen=True)
class ParquetRows(InstanceFile):
    """A parquet file of published rows, held in memory as pyarrow keeps them."""

    table: Any = field(repr=False, compare=False, default=None)

    def _read(self, index: int, where: str) -> Instance:
        """Read one row of the table."""
        return instance_of_row(_plain_row(self.table.slice(index, 1).to_pylist()[0]), number=index, where=where)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path; the file is opened again."""
        return open_instances, (self.path,)


def open_instances(path: str | Path) -> InstanceFile:
    """Open a file of instances.

    Args:
        path: JSON lines of `toolenv/1` or of published rows, or a parquet file of published rows (its name ends in
            `.parquet`, which needs pyarrow).

    Raises:
        MissingDataError: If there is no such file.
        InstanceError: If a line is cut off, of another format, or has the key of another one.
        ConfigError: If the file holds nothing or cannot be read.
    """
    place = place_of(path)
    kind = kind_of(place)
    if kind == "nothing":
        raise MissingDataError(f"There is no file {shown(place)}; expected one of {FORMAT} or of published rows.")
    if kind == "folder":
        raise ConfigError(f"{shown(place)} is a folder; give the path of a file of instances.")
    opened = _open_parquet(place) if place.suffix == ".parquet" else _open_lines(place)
    if not opened.heads:
        raise ConfigError(f"{shown(place)} holds no instances.")
    _check_keys(opened)
    return opened


def write_instances(path: str | Path, instances: Iterable[Instance], *, form: FileFormat = "toolenv") -> int:
    """Write instances to a file, which is replaced.

    Args:
        path: The file; published rows in one whose name ends in `.parquet` are written as parquet.
        instances: The instances.
        form: "toolenv" for the format of this package, "ftrl" for published rows.

    Returns:
        How many were written.

    Raises:
        InstanceError: If an instance has no published form.
        ConfigError: For `toolenv` as parquet.
    """
    place = place_of(path)
    if place.suffix == ".parquet":
        if form != "ftrl":
            raise ConfigError(f"{shown(place)} is a parquet file, which holds published rows only; write form='ftrl'.")
        return _write_parquet(place, [row_of_instance(instance) for instance in instances])
    count = 0
    with place.open("w", encoding="utf-8", newline="\n") as file:
        for instance in instances:
            line = instance.to_line() if form == "toolenv" else json.dumps(row_of_instance(instance), ensure_ascii=False)
            file.write(line + "\n")
            count += 1
    return count


def _open_lines(path: Path) -> LinesFile:
    """Open a file of JSON lines."""
    heads: list[Head] = []
    place = number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise InstanceError(f"{shown(path)}, row {number} is longer than {MAX_LINE_BYTES:,} bytes.")
                if line.strip():
                    heads.append(_head_of(line, place, len(heads), f"{shown(path)}, row {number}"))
                place += len(line)
    except OSError as error:
        raise ConfigError(f"{shown(path)} cannot be read: {error.strerror}.") from None
    return LinesFile(path, tuple(heads))


def _head_of(line: bytes, place: int, index: int, where: str) -> Head:
    """Return the head of a line; read whole only where it is not written as this package and the published files do."""
    if not line.rstrip().endswith(b"}"):
        json_of(line, where)  # says where it is cut off
        raise InstanceError(f"{where} is not a JSON object.")
    own = _OWN_HEAD.match(line)
    if own is not None:
        scenario = _OWN_SCENARIO.search(line, own.end(), own.end() + _OWN_HEAD_BYTES)
        split = _OWN_SPLIT.search(line, max(0, line.rfind(b'"meta"')))
        if scenario is not None and split is not None and line.count(b'"meta"') == 1:
            return Head(_text(own[1], where), _text(split[1], where), scenario[1].decode(), place)
    elif not line.startswith(b'{"format"'):
        splits, sources = _ROW_SPLIT.findall(line), _ROW_SOURCE.findall(line)
        row_id = _ROW_ID.match(line)
        if len(splits) == len(sources) == 1 and (row_id is not None or b'"id"' not in line):
            split_name = _text(splits[0], where)
            key = default_id(split_name, index) if row_id is None else _text(row_id[1], where)
            return Head(key, split_name, _scenario(_text(sources[0], where), where), place)
    value = json_of(line, where)
    if isinstance(value, dict) and "format" in value:
        instance = Instance.of(value, where)
    elif isinstance(value, dict) and set(value) & set(FIELDS):
        instance = instance_of_row(value, number=index, where=where)
    else:
        raise InstanceError(f"{where} is neither an instance of {FORMAT} nor a published row ({', '.join(FIELDS)}).")
    return Head(instance.id, instance.split, instance.scenario, place)


def _scenario(source: str, where: str) -> str:
    """Return the scenario of a `data_source`."""
    name = source.removeprefix(PREFIX)
    if name not in SCENARIOS:
        known = ", ".join(PREFIX + one for one in SCENARIOS)
        raise InstanceError(f"{where}: field 'data_source' is {source[:60]!r}; expected one of {known}.")
    return name


def _text(data: bytes, where: str) -> str:
    """Return bytes of the file as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InstanceError(f"{where} is not UTF-8 text.") from None


def _check_keys(opened: InstanceFile) -> None:
    """Refuse a key that stands twice."""
    seen: dict[str, int] = {}
    for number, head in enumerate(opened.heads, start=1):
        if head.key in seen:
            raise InstanceError(
                f"{shown(opened.path)}: instances {seen[head.key]} and {number} have the id {head.key[:80]!r}; ids are unique."
            )
        seen[head.key] = number


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Reading and writing parquet", "train") from None
    return pyarrow, pyarrow.parquet


def _open_parquet(path: Path) -> ParquetRows:
    """Open a parquet file of published rows."""
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{shown(path)} cannot be read as parquet: {reason}.") from None
    if missing := [name for name in FIELDS if name not in table.column_names]:
        raise InstanceError(f"{shown(path)} lacks the column {missing[0]!r}; a published file has {', '.join(FIELDS)}.")
    heads = []
    named = table.column("id").to_pylist() if "id" in table.column_names else [None] * table.num_rows
    splits, sources = table.column("split").to_pylist(), table.column("data_source").to_pylist()
    for index, (key, split, source) in enumerate(zip(named, splits, sources, strict=True)):
        where = f"{shown(path)}, row {index + 1}"
        if not isinstance(split, str) or not isinstance(source, str):
            raise InstanceError(f"{where}: fields 'split' and 'data_source' are texts; one of them is not.")
        heads.append(Head(default_id(split, index) if key is None else str(key), split, _scenario(source, where)))
    return ParquetRows(path, tuple(heads), table)


def _plain_row(row: dict[str, Json]) -> dict[str, Json]:
    """Return a row of parquet as one of JSON has it: no keys of messages without a value, no id that is null."""
    messages = row.get("messages")
    if isinstance(messages, list):
        row["messages"] = [
            {key: value for key, value in one.items() if value is not None} if isinstance(one, dict) else one
            for one in messages
        ]
    if row.get("id", "") is None:
        del row["id"]
    return row


def _write_parquet(path: Path, rows: Sequence[dict[str, Json]]) -> int:
    """Write published rows as parquet."""
    pyarrow, parquet = _pyarrow()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return len(rows)


__all__ = ["FileFormat", "Head", "InstanceFile", "LinesFile", "ParquetRows", "open_instances", "write_instances"]
