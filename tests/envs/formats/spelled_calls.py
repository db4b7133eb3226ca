"""Calls in the spellings of models, and the words around them: what the tests of attempts are generated from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from palaestra.types import ToolCall

Spelling = Callable[[ToolCall], str]


def _object(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)


def _arguments(call: ToolCall) -> str:
    return json.dumps(call.arguments, ensure_ascii=False)


def _code(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"


def _bare(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _in_yaml(value: Any) -> str:
    """Return a value as YAML writes it: in quotes where it would be read as something else."""
    return (
        value
        if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w @.,-]*\w", value)
        else json.dumps(value, ensure_ascii=False)
    )


def _framed(opening: str, each: str, closing: str, written: Callable[[Any], str] = _bare) -> Spelling:
    """Return the spelling that writes each argument in one form between two texts."""

    def spelled(call: ToolCall) -> str:
        pairs = [each.replace("KEY", key).replace("VALUE", written(value)) for key, value in call.arguments.items()]
        return opening.replace("NAME", call.name) + "".join(pairs) + closing.replace("NAME", call.name)

    return spelled


def _gemma(call: ToolCall, quote: str = '<|"|>') -> str:
    pairs = (
        f"{key}:{quote}{value}{quote}" if isinstance(value, str) else f"{key}:{_bare(value)}"
        for key, value in call.arguments.items()
    )
    return f"{{{','.join(pairs)}}}"


def filled(form: str) -> Spelling:
    """Return the spelling of a form in which NAME, OBJECT, JSON, CODE and GEMMA stand for the parts of a call."""
    parts: dict[str, Spelling] = {
        "NAME": lambda call: call.name, "OBJECT": _object, "JSON": _arguments, "CODE": _code, "GEMMA": _gemma
    }  # fmt: skip
    return lambda call: re.sub("|".join(parts), lambda found: parts[found[0]](call), form)


FREE: dict[str, Spelling] = {
    form: filled(form)
    for form in (
        "OBJECT",
        "```json\nOBJECT\n```",
        "[OBJECT]",
        '{"tool_calls": [OBJECT]}',
        "CODE",
        "```python\nCODE\n```",
        "await CODE",
        "result = CODE",
        "result = desk.CODE",
        "tools.CODE",
        "functions.CODE",
        "print(CODE)",
        "NAME JSON",
        "NAME: JSON",
        "NAME\nJSON",
        "NAME\n```json\nJSON\n```",
        "**NAME** JSON",
        "`NAME` JSON",
        "[NAME] JSON",
        "<NAME> JSON",
        "Tool: NAME\nArguments: JSON",
        "Tool name: NAME\nParameters: JSON",
        "Function: NAME\nInput: JSON",
        "Action: NAME\nAction Input: JSON",
        "Call: NAME, JSON",
        "Call: NAME\nArgs: JSON",
        "to=NAME JSON",
        "to=functions.NAME JSON",
        "tool_call: NAME JSON",
        "✿FUNCTION✿: NAME\n✿ARGS✿: JSON",
        "<action>CODE</action>",
        "<execute>CODE</execute>",
        "<execute_tool>CODE</execute_tool>",
        "<unused0>CODE",
        "<<CODE>>",
        "<tool_use>OBJECT</tool_use>",
        "<tool_call>\nCODE\n</tool_call>",
        "<NAME>JSON</NAME>",
        '<tool name="NAME">JSON</tool>',
        '<function name="NAME">JSON</function>',
        "to=functions.NAME codeJSON",
        "commentary to=functions.NAME json JSON",
        "assistantcommentary to=functions.NAME codeJSON",
        "assistantcommentary to=functions.NAMEjsonJSON",
        "NAMEjsonJSON",
        "mcp__desk__CODE",
        "mcp__desk__NAME JSON",
        "my-server__NAME: JSON",
        '{"name": "mcp__desk__NAME", "arguments": JSON}',
        '{"op": "NAME", "args": JSON}',
        '{"next_action": "NAME", "input": JSON}',
        '```json\n{"intent": "NAME", "parameters": JSON}\n```',
        "Action：NAME\nAction Input：JSON",
        "Action：CODE",
        "**Action:** NAME\n**Action Input:** JSON",
        "<invoke><tool_name>NAME</tool_name><parameters>JSON</parameters></invoke>",
    )
}
"""Spellings that are read where they stand alone."""

HEADED: dict[str, Spelling] = {
    form: filled(form)
    for form in (
        "### Action\nCODE",
        "### Tool call\nNAME\nJSON",
        "## Action:\n```json\nOBJECT\n```",
        "# Tool use\n\nOBJECT",
        "**Action**\nCODE",
    )
}
"""Spellings below a heading, which are read where they stand alone."""

ELEMENTS: dict[str, Spelling] = {
    "element named after a tool": _framed("<NAME>\n", "<KEY>VALUE</KEY>\n", "</NAME>"),
    "element in a fence": _framed("```xml\n<NAME>\n", "<KEY>VALUE</KEY>\n", "</NAME>\n```"),
    "tool": _framed('<tool name="NAME">', "<KEY>VALUE</KEY>", "</tool>"),
    "function": _framed('<function name="NAME">', "<param name=KEY>VALUE</param>", "</function>"),
    "parts": _framed("<use_tool><tool_name>NAME</tool_name><arguments>", "<KEY>VALUE</KEY>\n", "</arguments></use_tool>"),
    "invoke": _framed('<x:invoke name="NAME">', '<x:parameter name="KEY">VALUE</x:parameter>', "</x:invoke>"),
    "yaml": _framed("```yaml\nname: NAME\narguments:\n", "  KEY: VALUE\n", "```", _in_yaml),
    "bare yaml": _framed("tool: NAME\nparameters:\n", "  KEY: VALUE\n", "", _in_yaml),
    "bold lines": _framed("**Tool:** NAME\n", "**KEY:** VALUE\n", "", _in_yaml),
    "tool beside its arguments": _framed("<tool>NAME</tool>\n", "<KEY>VALUE</KEY>", ""),
    "tool name beside its arguments": _framed(
        "<tool_name>NAME</tool_name>\n<parameters>", "<KEY>VALUE</KEY>", "</parameters>"
    ),
    "flat yaml": _framed("tool_name: NAME\n", "KEY: VALUE\n", "", _in_yaml),
}
"""Spellings with values as bare texts: read or answered."""

SHAPED: dict[str, Spelling] = {
    form: filled(form)
    for form in (
        "- OBJECT",
        "1. CODE",
        "> CODE",
        "**NAME**(x=1)",
        '"CODE"',
        "(CODE)",
        "Searching… CODE",
        "Sure! CODE",
        "Okay, CODE",
        "Sure! OBJECT",
        "I will call CODE.",
        "I'll call `CODE`.",
        "I will now call NAME with JSON.",
        "call NAME with JSON",
        "NAME --key value",
        "/NAME value",
        "@NAME value",
        "<NAME/>",
        '<NAME key="value"/>',
        "<use_tool>NAME</use_tool>",
        "<start_of_action>NAME",
        "<action>NAME</action>",
        '{"NAME": "value"}',
        '{"name": "NAME", "arguments": [1]}',
        '{"name": "no_such_tool", "arguments": JSON}',
        '{"tool": "no_such_tool", "args": JSON}',
        '[{"function_name": "no_such_tool", "parameters": JSON}]',
        "NAME(x=1",
        '{"name": "NAME", "arguments": {"key": ',
        "NAME: {'key': 'value'}",
        "Tool: NAME\nArguments: a text",
        "name: NAME\narguments:\n  key: value",
        'call_tool("NAME", JSON)',
        'await client.callTool({name: "NAME", arguments: JSON})',
        'name: "NAME", arguments: JSON',
        "desk.CODE.first()",
        "$ NAME --key value",
        '{"type": "tool_use", "name": "no_such_tool", "input": JSON}',
        '{"method": "tools/call", "params": {"name": "NAME", "arguments": JSON}}',
        '{"tool_uses": [{"recipient_name": "functions.NAME", "parameters": JSON}]}',
        '```toml\nname = "NAME"\n[arguments]\nkey = 1\n```',
        "Ich rufe CODE auf.",
        "我将调用 CODE",
    )
}
"""Spellings that need not be read; they end nothing."""

TELLING = tuple(
    filled(form)
    for form in (
        "```bash\nNAME value\n```",
        "```sh\n$ NAME value\n```",
        "```\nNAME value\n```",
        "Action: NAME value",
        "Action：NAME value",
        "**Tool:** NAME value",
        "Thought: I look.\nAction: NAME value",
        "[Calling NAME...]",
        "[Calling NAME]",
        "*calls NAME*",
        "(calling NAME)",
        "Calling NAME…",
        "I will call NAME on Glass.",
        "I'll use NAME to find it.",
        "Let me call NAME.",
        "The note is not there. Now I will use the `NAME` tool.",
        "Ich rufe jetzt NAME auf.",
        "Je vais appeler NAME.",
        "Voy a usar NAME.",
        "Provo con NAME.",
        "Vou chamar NAME.",
        "我将调用 NAME。",
        "NAME を呼び出します。",
        "NAME을 호출하겠습니다.",
        "Сейчас вызову NAME.",
    )
)
"""Attempts that only a name tells which cannot be an ordinary word; they end nothing."""

FAMILIES: dict[str, Spelling] = {
    "hermes": filled("<tool_call>\nOBJECT\n</tool_call>"),
    "tool_call attribute": filled('<tool_call name="NAME">JSON</tool_call>'),
    "deepseek v3": filled(
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\nJSON\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek v3.1": filled(
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>NAME<｜tool▁sep｜>JSON<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek with bars of ASCII": filled("<|tool▁calls▁begin|>NAME JSON"),
    "step 3": filled(
        "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>"
        '<steptml:invoke name="NAME">JSON</steptml:invoke><｜tool_call_end｜>'
    ),
    "kimi k2": filled(
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>JSON<|tool_call_end|>"
    ),
    "mistral": filled("[TOOL_CALLS] [OBJECT]"),
    "mistral with a name": filled("[TOOL_CALLS]NAME[ARGS]JSON"),
    "granite": filled("<|tool_call|>[OBJECT]"),
    "granite 20b": filled("<function_call> OBJECT"),
    "granite code": filled("<|tool_call|>CODE<|/tool_call|>"),
    "internlm": filled("<|action_start|><|plugin|>\nOBJECT<|action_end|>"),
    "jamba": filled("<tool_calls>[OBJECT]</tool_calls>"),
    "phi 4": filled("functools[OBJECT]"),
    "nemotron": filled("<TOOLCALL>[OBJECT]</TOOLCALL>"),
    "olmo 3": filled("<function_calls>\nCODE\n</function_calls>"),
    "llama": filled("<|python_tag|>OBJECT<|eom_id|>"),
    "llama 4": filled("<|python_start|>[CODE]<|python_end|>"),
    "lfm 2": filled("<|tool_call_start|>[CODE]<|tool_call_end|>"),
    "minicpm 3": filled("<|tool_call_start|>\n```python\nCODE\n```\n<|tool_call_end|>"),
    "cohere": filled('<|START_ACTION|>[{"tool_name": "NAME", "parameters": JSON}]<|END_ACTION|>'),
    "harmony": filled("<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>JSON<|call|>"),
    "gemma 4": filled("<|tool_call>call:NAMEGEMMA<tool_call|>"),
    "function gemma": lambda call: f"<start_function_call>call:{call.name}{_gemma(call, '<escape>')}<end_function_call>",
    "gemma 3": filled("```tool_code\nCODE\n```"),
    "gigachat": filled("<|function_call|>OBJECT"),
    "gigachat as text": filled("function call<|role_sep|>\nOBJECT<|message_sep|>"),
    "hyperclova": filled(" -> tool/function_call\n[OBJECT]<|im_end|>"),
    "plamo": filled(
        "<|plamo:begin_tool_requests:plamo|><|plamo:begin_tool_request:plamo|>"
        "<|plamo:begin_tool_name:plamo|>NAME<|plamo:end_tool_name:plamo|>"
        "<|plamo:begin_tool_arguments:plamo|>JSON<|plamo:end_tool_arguments:plamo|>"
    ),
    "inkling": filled("<|message_model|>NAME<|content_invoke_tool_json|>OBJECT<|end_message|>"),
    "apertus": filled('<|tools_prefix|>[{"NAME": JSON}]<|tools_suffix|>'),
    "pangu": filled("[unused11][OBJECT][unused12]"),
    "rwkv": filled("**Tool Call:**\n```json\nOBJECT\n```"),
    "qwen agent": filled("✿FUNCTION✿: NAME\n✿ARGS✿: JSON"),
    "glm 4": filled("NAME\nJSON"),
    "raven": filled("Call: CODE<bot_end>"),
    "gorilla": filled("<<function>>CODE"),
    "xlam": filled("[OBJECT]"),
    "frame of a chat": filled("<|im_start|>tool_call NAME\nJSON"),
    "a mark alone": filled("<ifm|tool_calls>"),
    "a family of tomorrow": filled("<|nova_tool_invocation_begin|>NAME JSON<|nova_tool_invocation_end|>"),
    "a tag of tomorrow": filled("<nova:function-call>OBJECT</nova:function-call>"),
    "qwen coder": _framed("<tool_call>\n<function=NAME>\n", "<parameter=KEY>VALUE</parameter>\n", "</function>\n</tool_call>"),
    "seed": _framed("<seed:tool_call><function=NAME>", "<parameter=KEY>VALUE</parameter>", "</function></seed:tool_call>"),
    "glm 4.5": _framed("<tool_call>NAME\n", "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>\n", "</tool_call>"),
    "longcat": _framed(
        "<longcat_tool_call>NAME\n",
        "<longcat_arg_key>KEY</longcat_arg_key><longcat_arg_value>VALUE</longcat_arg_value>\n",
        "</longcat_tool_call>",
    ),
    "hunyuan 3": _framed(
        "<tool_calls><tool_call>NAME<tool_sep>", "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>", "</tool_call>"
    ),
    "minimax": _framed(
        '<minimax:tool_call><invoke name="NAME">', '<parameter name="KEY">VALUE</parameter>', "</invoke></minimax:tool_call>"
    ),
    "minimax 3": _framed(
        ']<]minimax[>[<tool_call>]<]minimax[>[<invoke name="NAME">',
        "]<]minimax[>[<KEY>VALUE]<]minimax[>[</KEY>",
        "]<]minimax[>[</invoke>",
    ),
    "minicpm 5": _framed('<function name="NAME">', '<param name="KEY">VALUE</param>', "</function>"),
    "muse": _framed(
        '<atem:function_calls>\n<atem:invoke name="NAME">',
        '<atem:parameter name="KEY">VALUE</atem:parameter>',
        "</atem:invoke>\n</atem:function_calls>",
    ),
    "dsml": _framed(
        '<｜DSML｜function_calls><｜DSML｜invoke name="NAME">',
        '<｜DSML｜parameter name="KEY">VALUE</｜DSML｜parameter>',
        "</｜DSML｜invoke>",
    ),
}
"""The marks of model families: those that vLLM, SGLang and the templates of TRL know, and some still to come."""

LEADS = (
    "",
    "I look for it first.\n",
    "Let me search:\n",
    "Now I will do it.\n\n",
    "The note is not here yet, so I'll look.\n",
    "Okay.\n",
    "Ich sehe zuerst nach.\n",
)
"""What leads to a call."""

SPEECH = (
    ("Never write:\n    ", ""),
    ("Do not do this:\n", ""),
    ("As an example of a call:\n", ""),
    ("For example:\n\n", "\n"),
    ("You showed me this:\n", ""),
    ("This is what I ran:\n", ""),
    ("Here is what I did:\n", "\nAll is done."),
    ("I already executed\n", "\nso nothing is left."),
    ("I called this and it failed:\n", ""),
    ("The syntax would be\n", ""),
    ("Instead of\n", "\nI asked Mara."),
    ("Zum Beispiel:\n", ""),
    ("例如：\n", ""),
    ("", "\nis the call that you asked about."),
    ("", "\n\nI did not run this."),
    ("I would have written\n\n", "\n\nbut it is forbidden."),
    ("If I had to, I could use\n", ""),
    ("Let me tell you what was done:\n", ""),
    ("I will not call\n", ""),
    ("I will refrain from\n", ""),
    ("The note says:\n", ""),
    ("Usage:\n", ""),
    ("Log:\n", ""),
    ("Output of the tool:\n", ""),
    ("It says ", ""),
    ("Shall I run this?\n", ""),
    ("If you agree, I will run\n", ""),
    ("Once you confirm, I'll run:\n", ""),
    ("Ich habe dies ausgeführt:\n", ""),
    ("J'ai exécuté\n", ""),
    ("私はこれを実行しました：\n", ""),
    ("<!-- ", " -->"),
    ("# ", ""),
    ("'''\n", "\n'''"),
)
"""What quotes, denies, exemplifies or reports a call on lines of its own."""

MENTIONS = tuple(
    filled(form)
    for form in (
        "I called CODE and found nothing.",
        "Done: I deleted the note with CODE.",
        "You can use `CODE` to remove it.",
        "I did not run CODE.",
        "I ran the following:\n\n1. CODE - nothing\n2. CODE - done",
        "The result of `OBJECT` was empty.",
        "The call CODE has failed twice.",
        "There is no note; CODE returned an empty list.",
        "> CODE\n\nThat quoted line is what you asked about; I did not run it.",
        "The tool NAME finds nothing.",
        "NAME",
        "It is NAME.",
        "NAME is the tool that you need.",
        "I used NAME twice and add_note once.",
        "NAME: 2 results",
        "- NAME: done",
        "NAME found 2 notes.",
        "I searched with NAME and the note says that the lunch is at Glass.",
        "The answer is 14:30 (see NAME).",
        "Nothing was found by NAME (query: Glass).",
        "NAME with JSON returned nothing.",
        "I called `NAME` with `JSON` and found nothing.",
        "NAME -> 2 events",
        "| tool | count |\n|---|---|\n| NAME | 2 |",
        "Shown by NAME[1].",
        "For instance, CODE would find it.",
        "You asked whether CODE works: it does.",
        "I never called CODE, because the note was there.",
        "The note says: \"CODE\" is the command.",
        "The tools are NAME (finds notes) and others [see above].",
    )
)  # fmt: skip
"""Final answers that speak of a call."""

PLAIN = (
    "The lunch is at Glass on Friday at 14:30, and Mara is invited.",
    "Done.",
    "Is it alive?",
    "Is it bigger than a car? (roughly)",
    "yes",
    "42",
    "3.14",
    "1e999",
    "get 1 oak log",
    "craft 4 oak planks using 1 oak log",
    "inventory",
    "Action: get 2 oak log",
    "Thought: I need logs.\nAction: get 2 oak log",
    "I need to get 1 oak log, then craft 4 oak planks.",
    "I would get the log and craft it (twice).",
    '{"answer": "42"}',
    '{"item": "oak planks", "count": 4}',
    '{"query": "x"}',
    '{"name": "oak planks", "input": {"oak log": 1}, "count": 4}',
    '{"name": "Mara Lind", "email": "mara.lind@example.com"}',
    '[{"title": "Lunch", "guests": ["a", "b"]}, {"title": "Call", "guests": []}]',
    '```json\n{"title": "x", "when": ["a", {"b": 1}]}\n```',
    "```yaml\nname: Mara\nemail: mara@example.com\n```",
    "name: Mara\nphone: 12",
    'The settings are {"mode": "fast", "level": 3}; see [1].',
    "| name | date |\n|---|---|\n| Lunch | 14:30 |",
    "1. Lunch\n2. Call Mara\n3. Review",
    "- Lunch (14:30)\n- Call with Mara\n- Action: none needed",
    "f(x) = 2x + 1, so f(3) = 7.",
    "```python\nprint(sorted([2, 1]))\n```",
    "def add(a, b):\n    return a + b",
    "<b>Lunch</b> is at <i>Glass</i>.",
    "Use <your name> and a < b > c.",
    "```html\n<ul><li>Lunch</li></ul>\n```",
    "The `<tool_call>` tag marks a call.",
    "I will call Mara tomorrow (at 10:00).",
    "Let me know if you need anything else.",
    "I'll be there at 5.",
    "Call: Mara, 14:30",
    "Note: {\"title\": \"x\"} was stored.",
    "To: mara.lind@example.com\nSubject: Lunch",
    "See [the list](http://x.example/a?b=c) for it.",
    "Put your plan into <think> tags.",
    "I think it is a cat.",
    "The function of the heart is to pump blood.",
    "The tools of a smith: hammer, anvil (and tongs).",
    "Er hat um 14:30 Uhr einen Termin (mit Mara).",
    "会议在周五下午两点半（与马拉）。",
    "",
    "x = [1, 2, 3]",
    "/home/mara/notes.txt",
    "$ ls --all",
    "@mara see you",
    "A -> B -> C",
)  # fmt: skip
"""Final answers and texts of environments that call nothing."""

__all__ = [
    "ELEMENTS",
    "FAMILIES",
    "FREE",
    "HEADED",
    "LEADS",
    "MENTIONS",
    "PLAIN",
    "SHAPED",
    "SPEECH",
    "TELLING",
    "Spelling",
    "filled",
]
