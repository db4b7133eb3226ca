"""Files of JSON records: one array, or one record after the other, as data sets are published and exported.

A file is read piece by piece, and only a line feed (or CR LF) ends a line: U+2028 and U+0085 are ordinary characters. A record
that cannot be read is told with its place, and reading resumes at the next line that begins as records of the file do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from palaestra.types.plain_json import Json, refuse_constant

_READ_CHARS = 1 << 16  # an error of the decoder counts the lines of all that was read: large pieces make bad records slow
_BETWEEN = " \t\r\n,[]"  # what may stand between two records
_WORD = re.compile(r"\S")
_NOT_UTF8 = "is not UTF-8 text; save the file as UTF-8"


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """One record of a file, or what is wrong with it.

    Attributes:
        number: Of the record in the file, from 1.
        line: The line it begins in, from 1.
        value: What it holds; None if it could not be read.
        problem: Why it could not be read; empty if it could.
    """

    number: int
    line: int
    value: Json = None
    problem: str = ""

    @property
    def place(self) -> str:
        """Return where it stands, for messages."""
        return f"line {self.line}, record {self.number}"


def read_json_records(path: Path) -> Iterator[JsonRecord]:
    """Yield the records of a file in order; memory does not grow with the number of records.

    NaN and the infinities, bytes that are not UTF-8 and halves of records are problems of the record that holds them. An array
    that is never closed is one more problem, after the last record. A byte order mark is skipped.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from _Reader(file).records()


class _Reader:
    """The part of a file that is being read.

    Args:
        file: Text in which bytes that are not UTF-8 are lone surrogates.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._position = 0
        self._line = 1
        self._number = 0
        self._open_arrays = 0
        self._indent = ""  # what stands before the records in their lines
        self._strict = json.JSONDecoder(parse_constant=refuse_constant)
        self._lenient = json.JSONDecoder()

    def records(self) -> Iterator[JsonRecord]:
        """Yield all records."""
        while self._skip_separators():
            yield self._next()
        if self._open_arrays > 0:
            self._number += 1
            yield JsonRecord(self._number, self._line, problem="is not JSON (the array is not closed); is the file cut off?")

    def _next(self) -> JsonRecord:
        """Read the record that begins at the position."""
        self._number += 1
        if self._number == 1:
            self._indent = self._before()
        wanted = _READ_CHARS
        while True:
            try:
                value, end = self._strict.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if not self._is_final(error) and self._read(wanted):
                    wanted = max(_READ_CHARS, len(self._text))  # doubling: huge records are not read again and again
                    continue
                return self._unreadable(error)
            except (ValueError, RecursionError) as error:
                return self._refused(error)
            if end == len(self._text) and not isinstance(value, (dict, list, str)) and self._read(wanted):
                continue  # a number may go on
            is_utf8 = _is_utf8(self._text, self._position, end)
            record = JsonRecord(self._number, self._line, value if is_utf8 else None, "" if is_utf8 else _NOT_UTF8)
            self._move(end)
            return record

    def _is_final(self, error: json.JSONDecodeError) -> bool:
        """Whether no further text can make the record readable: tokens end in their line."""
        if error.msg.startswith("Invalid control character"):
            return True
        found = _WORD.search(self._text, error.pos)  # slices would copy the rest of the buffer for every bad record
        return found is not None and self._text.find("\n", found.start()) >= 0

    def _unreadable(self, error: json.JSONDecodeError) -> JsonRecord:
        """Tell a record that is not JSON, and go to the next one."""
        line = self._line
        where = line + self._text.count("\n", self._position, error.pos)
        place = f" in line {where}" if where != line else ""
        is_cut = error.msg.startswith("Unterminated") or _WORD.search(self._text, error.pos) is None
        problem = f"is not JSON ({error.msg}{place})" + ("; is the file cut off?" if is_cut else "")
        if not self._resume():
            problem = _NOT_UTF8
        return JsonRecord(self._number, line, problem=problem)

    def _refused(self, error: Exception) -> JsonRecord:
        """Tell a record that could be read and must not be: NaN in it, or too many levels."""
        line = self._line
        if isinstance(error, RecursionError):
            self._resume()
            return JsonRecord(self._number, line, problem="is nested too deeply")
        problem = f"is not JSON ({error})"
        while True:
            try:
                _, end = self._lenient.raw_decode(self._text, self._position)
            except json.JSONDecodeError as incomplete:
                if not self._is_final(incomplete) and self._read(max(_READ_CHARS, len(self._text))):
                    continue
                self._resume()
            except RecursionError:
                self._resume()
            else:
                self._move(end)
            return JsonRecord(self._number, line, problem=problem)

    def _resume(self) -> bool:
        """Go to the next line in which a record begins, or to the end; return whether what was passed is UTF-8."""
        start = f"\n{self._indent}{{"
        is_utf8 = True
        while True:
            found = self._text.find(start, self._position)
            end = found + 1 if found >= 0 else max(self._position, len(self._text) - len(start) + 1)
            is_utf8 = is_utf8 and _is_utf8(self._text, self._position, end)
            self._move(end)
            if found >= 0:
                return is_utf8
            if not self._read(_READ_CHARS):
                is_utf8 = is_utf8 and _is_utf8(self._text, self._position, len(self._text))
                self._move(len(self._text))
                self._open_arrays = 0  # what closes the array was passed with the rest
                return is_utf8

    def _before(self) -> str:
        """Return the white space that stands before the position in its line."""
        before = self._text[self._text.rfind("\n", 0, self._position) + 1 : self._position]
        return before if before.isspace() else ""

    def _skip_separators(self) -> bool:
        """Go to the next record; return whether there is one."""
        while True:
            end = self._position
            text = self._text
            while end < len(text) and text[end] in _BETWEEN:
                end += 1
            passed = text[self._position : end]
            self._open_arrays += passed.count("[") - passed.count("]")
            self._move(end)
            if end < len(text):
                return True
            if not self._read(_READ_CHARS):
                return False

    def _move(self, end: int) -> None:
        """Pass everything up to `end`."""
        self._line += self._text.count("\n", self._position, end)
        self._position = end

    def _read(self, num_chars: int) -> bool:
        """Read on; return whether there was more. What was passed is dropped."""
        piece = self._file.read(num_chars)
        if not piece:
            return False
        if self._number:  # before, it may be the indent of the first record
            self._text, self._position = self._text[self._position :], 0
        self._text += piece
        return True


def _is_utf8(text: str, start: int, end: int) -> bool:
    """Whether a part of a file was UTF-8: bytes that are not were read as lone surrogates."""
    part = text[start:end]
    if part.isascii():
        return True
    try:
        part.encode()
    except UnicodeEncodeError:
        return False
    return True


__all__ = ["JsonRecord", "read_json_records"]
