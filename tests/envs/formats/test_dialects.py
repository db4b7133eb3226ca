"""Each syntax of calls, written by its published rules, is read back with the types that the tools declare."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.formats.call_values import read_json
from palaestra.envs.formats.dialects import DIALECTS, Dialect
from palaestra.types import Json, ToolCall

TYPES = {
    "words": "string",
    "count": "integer",
    "on": "boolean",
    "items": "array",
    "more": "object",
    "maybe": ["string", "null"],
}
OTHER = {"count": {"type": "string"}, "words": {"type": "integer"}}  # the other way round
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": schema}}}
    for name, schema in (
        ("find", {key: {"type": kind} for key, kind in TYPES.items()}),
        *(("ns.find-2", OTHER), ("ns.find", OTHER)),
    )
]
words = st.text(st.sampled_from("ab 1:,;{}()=é東\n"), max_size=8) | st.sampled_from(
    ["5", "true", "None", "[1]", '{"a": 1}', "1.5"]
)
plain = words | st.integers(-9, 99) | st.booleans() | st.none() | st.floats(-9, 9)
VALUES: dict[str, st.SearchStrategy[Json]] = {
    "words": words,
    "count": st.integers(-9, 99),
    "on": st.booleans(),
    "items": st.lists(plain, max_size=3),
    "more": st.dictionaries(st.text("abc", min_size=1, max_size=3), plain, max_size=2),
    "maybe": words.filter(lambda text: text.strip() not in ("null", "None")) | st.none(),
}
first = st.fixed_dictionaries({}, optional=VALUES).map(lambda arguments: ToolCall("find", arguments))
second = st.fixed_dictionaries({}, optional={"count": words, "words": st.integers(-9, 99)}).map(
    lambda arguments: ToolCall("ns.find-2", arguments)
)
calls = st.lists(first | second, min_size=1, max_size=3)


def bare(value: Json) -> str:
    """Return a value as most syntaxes write it: texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def functions(call: ToolCall) -> str:
    inside = "".join(f"<parameter={key}>\n{bare(value)}\n</parameter>\n" for key, value in call.arguments.items())
    return f"<tool_call>\n<function={call.name}>\n{inside}</function>\n</tool_call>"


def pairs(call: ToolCall) -> str:
    inside = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{bare(value)}</arg_value>\n" for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}\n{inside}</tool_call>"


def invoke(call: ToolCall, space: str = "", *, says_type: bool = False) -> str:
    def begin(key: str, value: Json) -> str:
        told = f' string="{json.dumps(isinstance(value, str))}"' if says_type else ""
        return f'<{space}parameter name="{key}"{told}>'

    inside = "".join(f"{begin(key, value)}{bare(value)}</{space}parameter>\n" for key, value in call.arguments.items())
    return f'<{space}invoke name="{call.name}">\n{inside}</{space}invoke>\n'


def gemma(value: Json) -> str:
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{gemma(item)}" for key, item in value.items()) + "}"
    return f"[{','.join(map(gemma, value))}]" if isinstance(value, list) else json.dumps(value)


def python(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"


def as_json(call: ToolCall, key: str = "arguments", **more: Json) -> dict[str, Json]:
    return {"name": call.name, key: call.arguments, **more}


Writer = Callable[[list[ToolCall]], str]
DEEPSEEK = "<｜tool▁call▁begin｜>{}<｜tool▁call▁end｜>"
KIMI = "<|tool_call_begin|>functions.{}:{}<|tool_call_argument_begin|>{}<|tool_call_end|>"
WRITERS: dict[str, tuple[str, Writer]] = {
    "functions": ("functions", lambda calls: "".join(map(functions, calls))),
    "functions without a frame": (
        "functions",
        lambda calls: "".join(functions(call).removeprefix("<tool_call>\n").removesuffix("\n</tool_call>") for call in calls),
    ),
    "functions in one frame": (
        "functions",
        lambda calls: (
            "<tool_call>"
            + "".join(functions(call).removeprefix("<tool_call>").removesuffix("</tool_call>") for call in calls)
            + "</tool_call>"
        ),
    ),
    "arguments": ("arguments", lambda calls: "".join(map(pairs, calls))),
    "json in tags": ("arguments", lambda calls: "".join(f"<tool_call>\n{dumps(as_json(one))}\n</tool_call>" for one in calls)),
    "invoke": ("invoke", lambda calls: f"<function_calls>\n{''.join(map(invoke, calls))}</function_calls>"),
    "invoke of a namespace": (
        "invoke",
        lambda calls: f"<m:tool_call>{''.join(invoke(call, 'm:') for call in calls)}</m:tool_call>",
    ),
    "invoke with types": (
        "invoke",
        lambda calls: (
            f"<｜DSML｜tool_calls>{''.join(invoke(one, '｜DSML｜', says_type=True) for one in calls)}</｜DSML｜tool_calls>"
        ),
    ),
    "a list": ("marked", lambda calls: f"[TOOL_CALLS] {dumps([as_json(call) for call in calls])}"),
    "a list with its end": (
        "marked",
        lambda calls: f"<|tool_calls|>{dumps([as_json(call, id='a') for call in calls])}<|/tool_calls|>",
    ),
    "lines": ("marked", lambda calls: "[TOOL_CALLS]" + ";\n".join(dumps(as_json(call, "parameters")) for call in calls)),
    "a mark each": ("marked", lambda calls: "".join(f"[TOOL_CALLS]{dumps([as_json(call)])}" for call in calls)),
    "texts of arguments": (
        "marked",
        lambda calls: (
            f"[TOOL_CALLS]{dumps([{'function': {'name': one.name, 'arguments': dumps(one.arguments)}} for one in calls])}"
        ),
    ),
    "names first": (
        "marked",
        lambda calls: "".join(f"[TOOL_CALLS]{call.name}[CALL_ID]x-1[ARGS]{dumps(call.arguments)}" for call in calls),
    ),
    "Python after a mark": ("marked", lambda calls: f"<tool_calls>[{', '.join(map(python, calls))}]</tool_calls>"),
    "kimi": (
        "kimi",
        lambda calls: (
            "<|tool_calls_section_begin|>"
            + "".join(KIMI.format(call.name, i, dumps(call.arguments)) for i, call in enumerate(calls))
            + "<|tool_calls_section_end|>"
        ),
    ),
    "deepseek": (
        "deepseek",
        lambda calls: (
            "<｜tool▁calls▁begin｜>"
            + "\n".join(
                DEEPSEEK.format(f"function<｜tool▁sep｜>{one.name}\n```json\n{dumps(one.arguments)}\n```") for one in calls
            )
            + "<｜tool▁calls▁end｜>"
        ),
    ),
    "later deepseek": (
        "deepseek",
        lambda calls: (
            "<｜tool▁calls▁begin｜>"
            + "".join(DEEPSEEK.format(f"{call.name}<｜tool▁sep｜>{dumps(call.arguments)}") for call in calls)
            + "<｜tool▁calls▁end｜>"
        ),
    ),
    "gemma": (
        "gemma",
        lambda calls: "".join(f"<|tool_call>call:{one.name}{gemma(one.arguments)}<tool_call|>" for one in calls),
    ),
    "harmony": (
        "harmony",
        lambda calls: "".join(
            f"<|start|>assistant<|channel|>commentary to=functions.{call.name} <|constrain|>json<|message|>"
            f"{dumps(call.arguments)}<|call|>"
            for call in calls
        ),
    ),
    "pythonic": ("pythonic", lambda calls: f"<|tool_call_start|>[{', '.join(map(python, calls))}]<|tool_call_end|>"),
    "llama": ("llama", lambda calls: "<|python_tag|>" + "; ".join(dumps(as_json(call, "parameters")) for call in calls)),
}
PYTHON = ("Python after a mark", "pythonic")


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def of(name: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.name == name)


def test_every_syntax_has_a_writer() -> None:
    assert {name for name, _ in WRITERS.values()} == {dialect.name for dialect in DIALECTS} - {"hermes"}


@pytest.mark.parametrize("style", WRITERS)
@settings(max_examples=25)
@given(played=calls, before=st.sampled_from(["", "I look.", "Two\nlines."]), after=st.sampled_from(["", "Then more."]))
def test_calls_are_read_as_they_were_written_and_the_text_around_them_is_kept(
    style: str, played: list[ToolCall], before: str, after: str
) -> None:
    name, write = WRITERS[style]
    if style in PYTHON:  # names of Python
        played = [ToolCall(call.name.replace("-2", ""), call.arguments) for call in played]
    read = of(name).parse(f"{before}\n{write(played)}\n{after}", TOOLS)
    assert list(read.tool_calls) == played
    assert read.content == "\n".join(text for text in (before, after) if text)
    assert of(name).advice(read.tool_calls) == ""


@pytest.mark.parametrize("style", WRITERS)
@settings(max_examples=25)
@given(
    played=calls, cut=st.integers(0, 400), junk=st.sampled_from(["", "<", "x", "}", "]", "</", "<tool_call>", "[TOOL_CALLS]"])
)
def test_a_call_that_is_cut_off_or_spoilt_is_read_or_kept_as_it_stands(
    style: str, played: list[ToolCall], cut: int, junk: str
) -> None:
    name, write = WRITERS[style]
    text = write(played)
    spoilt = text[: cut % len(text)] + junk
    read = of(name).parse(spoilt, TOOLS)
    for call in read.tool_calls:
        assert call.name or (isinstance(call.arguments, str) and call.arguments in spoilt)
    unreadable = [call for call in read.tool_calls if not call.name]
    advice = of(name).advice(read.tool_calls)
    assert bool(advice) is (bool(unreadable) and len(unreadable) == len(read.tool_calls))
    assert not advice or of(name).example in advice
    assert not advice or f"read: {' '.join(unreadable[0].arguments[:200].split())!r}. Write" in advice


@given(value=plain | st.lists(plain) | st.dictionaries(words, plain), before=words, after=st.sampled_from(["", " x", "}"]))
def test_json_is_read_where_it_stands(value: Json, before: str, after: str) -> None:
    text = dumps(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not after:
        assert read_json(before + text + after, len(before)) == (value, len(before + text))


@pytest.mark.parametrize("text", ["", "x", "NaN", "[Infinity]", "1e999", '{"a"}', "[" * 100_000])
def test_what_is_not_json_is_not_read(text: str) -> None:
    assert read_json(text, 0) is None


def test_json_is_read_up_to_its_deepest_level() -> None:
    depths = [depth for depth in range(1, 100) if read_json("[" * depth + "]" * depth, 0) is not None]
    assert depths == list(range(1, 67))  # 64 of arguments, which stand in an object of a list
