"""Files of JSON records are read record by record, whatever stands in one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.types import json_records
from palaestra.types.json_records import JsonRecord, read_json_records

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\u2028\u2029\x85\x1e[]{},"\\\n'), max_size=12)
VALUES = TEXTS | st.integers() | st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=3)
RECORDS = st.dictionaries(TEXTS, VALUES, max_size=3)
FORMS = {
    "lines": lambda records: "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
    "array": lambda records: json.dumps(records, ensure_ascii=False),
    "indented": lambda records: json.dumps(records, ensure_ascii=False, indent=2),
    "array of lines": lambda records: "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n",
    "windows": lambda records: "\ufeff" + "\r\n".join(json.dumps(record) for record in records),
}
BAD = ["hello", '{"a": "cut', '{"a": ', '{"a": NaN}', '{"a": Infinity}', '{"a" 1}', "{'a': 1}", '{"a": "\t"}']
BAD.append('{"a": ' + "[" * 9_999)


def read(folder: Path, text: str | bytes) -> list[JsonRecord]:
    file = folder / "records"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_json_records(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@settings(max_examples=60, deadline=None)
@given(records=st.lists(RECORDS, max_size=4), form=st.sampled_from(list(FORMS)), piece=st.sampled_from([1, 7, 1 << 20]))
def test_every_form_is_read_back(folder: Path, records: list[Any], form: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_READ_CHARS", piece)
        found = read(folder, FORMS[form](records))
    assert [record.value for record in found] == records
    assert not any(record.problem for record in found)


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(RECORDS, min_size=1, max_size=4),
    bad=st.sampled_from(BAD),
    at=st.integers(0, 4),
    form=st.sampled_from(["lines", "array of lines"]),
    piece=st.sampled_from([1, 7, 1 << 20]),
)
def test_a_bad_line_is_told_and_the_others_are_read(
    folder: Path, records: list[Any], bad: str, at: int, form: str, piece: int
) -> None:
    at = min(at, len(records))
    texts = [json.dumps(record) for record in records]
    texts.insert(at, bad)
    text = "\n".join(texts) if form == "lines" else "[\n" + ",\n".join(texts) + "\n]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "_READ_CHARS", piece)
        found = read(folder, text)
    [problem] = [record for record in found if record.problem]
    assert [record.value for record in found if not record.problem] == records
    assert problem.place == f"line {at + 1 + (form != 'lines')}, record {at + 1}"


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, cut: int) -> None:
    records = [{"number": number, "text": "x" * 20} for number in range(3)]
    for form in ("array", "indented", "array of lines"):
        found = read(tmp_path, FORMS[form](records).rstrip()[:-cut])
        assert "cut off" in found[-1].problem
        good = [record.value for record in found if not record.problem]
        assert good == records[: len(good)]
        assert len(good) >= 2 or form == "indented"


def test_bytes_that_are_not_utf8_spoil_their_record_alone(tmp_path: Path) -> None:
    found = read(tmp_path, b'{"a": "\xff"}\n{"a": "\xc3\xa9"}\n{"a": "\xc3')
    assert [record.value for record in found] == [None, {"a": "\u00e9"}, None]
    assert "is not UTF-8 text" in found[0].problem
    assert found[2].place == "line 3, record 3"


def test_many_bad_lines_cost_no_more_than_good_ones(tmp_path: Path) -> None:
    found = read(tmp_path, "".join(f'{{"number": {number}, oh}}\n' for number in range(20_000)))
    assert len(found) == 20_000
    assert all(record.problem and record.line == record.number for record in found)
