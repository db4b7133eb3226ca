"""Marks by which models set calls apart from text, those of all families that servers have parsers for, and of their kind.

A mark is a special token or a tag whose name says that a call is made: `<|tool_call_begin|>`, `<minimax:tool_call>`,
`[TOOL_CALLS]`, `✿FUNCTION✿`. What families have in common is written as a rule, so that a new one is known by its kind.
"""

from __future__ import annotations

import re

from palaestra.envs.formats.thought_marks import NAMED

_ACT = r"(?:calls?|use|code|requests?|invocations?|exec\w*|inputs?|args?|arguments?|prefix|name|begin|start)"
_SPECIAL = r"(?:tools?|functions?|call|action|invoke|plugin|commentary|execute)"

MARK = re.compile(
    rf"<[|｜][^<>\n]{{0,40}}(?<![a-z]){_SPECIAL}(?![a-z])(?!\w*(?:response|output|result|list))[^<>\n]{{0,40}}>"
    rf"|</?[\w.:|｜▁-]{{0,30}}(?<![a-z])(?:tool|function|func)s?[_▁ -]?{_ACT}"
    r"(?:[_▁.:|｜-][\w.:|｜▁-]{0,30})?(?:\s[^<>\n]{0,80})?/?>"
    rf"|</?(?:use|execute|call|invoke|run|start|end|start_of|end_of)[_-](?:tool|function|action|function_call|tool_call)\w{{0,10}}>"
    r"|<function=[\w.\"'-]+>|</function>|<parameter=[^<>\s]+>|</parameter>"
    r"|<(?:[\w.-]{1,20}:|｜DSML｜)?invoke\s+name=|</(?:[\w.-]{1,20}:|｜DSML｜)?invoke>|</?(?:\w+_)?arg_(?:key|value)>"
    r"|\[/?(?:TOOL|FUNCTION)_?(?:CALLS?|REQUESTS?|USE|ARGS)[A-Z_]{0,12}\]|<tool_call\|>"
    r"|✿(?:FUNCTION|ARGS)✿|\bfunctools(?=\s*\[)|<<function>>|->\s?tool/function_call|function call<\|role_sep\|>"
    r"|<\|python_(?:tag|start)\|>|<\|im_start\|>\s*tool\w*|<\|channel\|>commentary"
    r"|\]<\]minimax\[>\[|\*\*Tool Calls?:\*\*|\[unused1[12]\]|```tool_(?:code|call)",
    re.IGNORECASE,
)
"""What says that a call is made."""

NOISE = re.compile(r"<\|(?:eo[mt]_id|im_end|end|eot|message_sep|end_message|bot_end)\|>|</s>|<bot_end>")
"""Special tokens that end a message and say nothing."""

_OPENS = f"<{NAMED['tags'].opens}"
OPEN_THOUGHT = re.compile(rf"(?:\A|[.!?…:;,)]|\n)[ \t]{{0,3}}{_OPENS}|{_OPENS}(?=\w|\s{{0,9}}\Z)")
"""A tag that opens a thought where a sentence may begin, or right before a word: a thought that was cut off."""

_PREFIX = re.compile(r"<(/?)\w{1,20}_(tool_call|arg_key|arg_value)>")


def plain_tags(text: str) -> str:
    """Return a text in which tags of one family that only carry its name before those of another are those."""
    return _PREFIX.sub(r"<\1\2>", text.replace("]<]minimax[>[", "")) if "_" in text or "minimax" in text else text


__all__ = ["MARK", "NOISE", "OPEN_THOUGHT", "plain_tags"]
