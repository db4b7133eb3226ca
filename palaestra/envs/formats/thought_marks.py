"""How models mark what they think: one table, from which every reader and writer of these marks is made.

    tags        <think> ... </think>, also with attributes, blanks, a namespace, in any letter case        most models
    square      [THINK] ... [/THINK]                                                                       Magistral
    triangles   ◁think▷ ... ◁/think▷                                                                       Kimi
    pipes       <|START_THINKING|> ... <|END_THINKING|>, <|begin_of_thought|> ... <|end_of_thought|>       Cohere, OpenThoughts
                <|inner_prefix|> ... <|inner_suffix|>                                                      Apertus
    turn        <|think|> ... <|end|>                                                                      Solar
    channel     <|channel>thought ... <channel|>                                                           Gemma 4
    unused      <unused94>thought ... <unused95>                                                           MedGemma
    harmony     <|channel|>analysis<|message|> ... <|end|>                                                 gpt-oss
    response    ... [BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE]                                        Apriel
    (front)     Here is my thought process: ... Here is my response: ...                                   Granite 3.2
    (front)     analysis ... assistantfinal ..., harmony whose special tokens were dropped                 gpt-oss
    (front)     to=self ... <|eom|><|start|>assistant to=NAME                                              Muse Glimmer
    (front)     <plan> ... </plan>, <reason>, <details> with a summary that says so                        prompts, chat pages
    (front)     [REASONING] ... [/REASONING], [THINKING] ... [/THINKING]                                   prompts
    (front)     a fenced block named "thinking"                                                            prompts

The front is where a text begins: what is data or a word elsewhere (`<plan>`, `[Thinking]`) marks a thought there.

All patterns match in one pass: what they repeat is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = r"(?:process|steps?|block|content|text|trace|budget_reflect)"
_WORD = rf"(?:think(?:ing)?|thoughts?|reasoning|reflect(?:ion)?|monologue|cot)(?:[_-]{_PART})?"
_NAME = rf"(?:(?:[A-Za-z]{{1,20}}+[_:-]){{0,2}}(?i:{_WORD})|(?i:analysis|scratchpad|rationale|deliberation|antthinking))"
_GAP = r"[ \t]{0,3}"
_ATTRIBUTE = r"\s{1,9}[\w:.-]{1,40}\s{0,3}=\s{0,3}(?:\"[^\"<>]{0,200}\"|'[^'<>]{0,200}'|[^\s<>\"'/]{1,100})"
_ATTRIBUTES = rf"(?>(?:{_ATTRIBUTE}){{0,8}})\s{{0,9}}"
_BAR, _JOIN = "[|｜]", "[_▁-]"
_PIPED = rf"(?i:(?:(?:begin|start)(?:{_JOIN}of)?{_JOIN})?{_WORD}(?:{_JOIN}(?:begin|start))?|inner_prefix)"
_PIPED_END = rf"(?i:inner_suffix|/{_WORD}|end(?:{_JOIN}of)?{_JOIN}{_WORD}|{_WORD}{_JOIN}end)"
_FINAL = r"final(?: ?<\|constrain\|>\w{1,20})?<\|message\|>"
_THINKS, _TEXT = r"(?i:think|thought|reason)", r"[^<>\n]{0,60}"
_SUMMARY = rf"<(?i:summary)>{_TEXT}?%s</(?i:summary)>"
_TAG_NAMES = (
    "think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis", "scratchpad", "rationale", "cot",
    "seed:think", "seed:cot_budget_reflect", "longcat_think", "antthinking", "inner_thoughts", "inner_monologue",
    "chain_of_thought", "thought_process", "self-reflection", "reasoning_content",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marks:
    """One way to mark a thought, or a family of ways of one shape.

    Attributes:
        name: What this table calls it.
        first: The character with which every mark begins; the patterns are of what follows it.
        opens: Pattern of the marks that open a thought; empty if none does.
        closes: Pattern of those that end one, whether or not something opened it.
        begins: Pattern that fits wherever one of the marks begins, and may fit elsewhere.
        is_ended: Whether `<|end|>`, which is text elsewhere, ends a thought that these marks opened.
        examples: Pairs of marks; the opening one is empty where there is none.
    """

    name: str
    first: str
    opens: str
    closes: str
    begins: str
    is_ended: bool = False
    examples: tuple[tuple[str, str], ...] = ()


MARKS: tuple[Marks, ...] = (
    Marks(
        "tags",
        "<",
        opens=rf"{_GAP}{_NAME}{_ATTRIBUTES}/?>",  # one that ends itself ends what is open

        closes=rf"{_GAP}/{_GAP}{_NAME}\s{{0,9}}>",
        begins=rf"{_GAP}/?{_GAP}{_NAME}[\s/>]",
        examples=(
            *((f"<{name}>", f"</{name}>") for name in _TAG_NAMES),
            ("<THINK>", "</Think>"),
            ("<think >", "</think >"),
            ("< think>", "</ think>"),
            ('<think time="3">', "</think>"),
            ("<Reasoning effort=high\n budget='9'>", "</reasoning>"),
            ("<think>", "<think/>"),
        ),
    ),
    Marks(
        "square", "[", opens=r"(?i:think)\]", closes=r"/(?i:think)\]", begins=r"/?(?i:think)\]",
        examples=(("[THINK]", "[/THINK]"),),
    ),
    Marks(
        "triangles", "◁", opens=rf"{_NAME}▷", closes=rf"/{_NAME}▷", begins=rf"/?{_NAME}▷", examples=(("◁think▷", "◁/think▷"),)
    ),
    Marks(
        "turn", "<", opens=r"\|think\|>", closes=r"\|/think\|>", begins=r"\|/?think\|>", is_ended=True,
        examples=(("<|think|>", "<|/think|>"), ("<|think|>", "<|end|>")),
    ),
    Marks(
        "pipes",
        "<",
        opens=rf"{_BAR}{_PIPED}{_BAR}>",
        closes=rf"{_BAR}{_PIPED_END}{_BAR}>",
        begins=rf"{_BAR}(?:{_PIPED}|{_PIPED_END}){_BAR}>",
        examples=(
            ("<|START_THINKING|>", "<|END_THINKING|>"),
            ("<|begin_of_thought|>", "<|end_of_thought|>"),
            ("<|thinking_start|>", "<|thinking_end|>"),
            ("<｜begin▁of▁thinking｜>", "<｜end▁of▁thinking｜>"),
            ("<|reasoning|>", "<|/reasoning|>"),
            ("<|inner_prefix|>", "<|inner_suffix|>"),
        ),
    ),
    Marks(
        "channel",
        "<",
        opens=r"\|channel>(?:(?:thought|thinking|analysis)\b)?",
        closes=r"channel\|>",
        begins=r"(?:\|channel|channel\|)>",
        examples=(("<|channel>thought", "<channel|>"),),
    ),
    Marks(
        "unused",
        "<",
        opens=r"unused94>(?:thought\b)?",
        closes=r"unused95>",
        begins=r"unused9[45]>",
        examples=(("<unused94>thought", "<unused95>"),),
    ),
    Marks(
        "harmony",
        "<",
        opens=r"\|(?:start\|>assistant<\|)?channel\|>analysis<\|message\|>",
        closes=rf"\|(?:(?:end\|>(?:<\|start\|>assistant)?<\|)?|start\|>assistant<\|)channel\|>{_FINAL}",
        begins=r"\|channel\|>",
        is_ended=True,
        examples=(
            ("<|channel|>analysis<|message|>", "<|end|>"),
            ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
            ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ),
    ),
    Marks(
        "response", "[", opens="", closes=r"BEGIN FINAL RESPONSE\]", begins=r"BEGIN FINAL RESPONSE\]",
        examples=(("", "[BEGIN FINAL RESPONSE]"),),
    ),
)  # fmt: skip
"""Marks by their shape; the first that fits wins."""


@dataclass(frozen=True, slots=True)
class Front:
    """Words that mark a thought at the very front of a text.

    Attributes:
        opens: Pattern of the words that open it.
        closes: Pattern of those that end it.
        entity: The first letter of the former as an entity, for texts that begin so and are an answer.
        example: A text that opens a thought, and one that ends it.
        must_end: Whether they are text where no words that end the thought follow.
        nests: Pattern of a line that opens a part of the thought which has an end like its own.
    """

    opens: str
    closes: str
    entity: str
    example: tuple[str, str]
    must_end: bool = True
    nests: str = ""

    @property
    def rest(self) -> str:
        """The pattern of the words that open it, without their first letter."""
        return self.opens.removeprefix(re.escape(self.example[0][0]))


FRONTS: tuple[Front, ...] = (
    Front(
        r"Here(?: is|['’]s) my thought process:",
        r"Here(?: is|['’]s) my response:",
        "&#72;",
        ("Here is my thought process:", "Here is my response:"),
    ),
    Front(r"analysis(?=[A-Z])", r"assistantfinal|assistant(?=commentary)", "&#97;", ("analysis", "assistantfinal")),
    Front(
        r"to=self(?:<\|message\|>)?",
        r"(?:<\|eom\|>)?(?:<\|start\|>)?assistant(?: to=user(?:<\|message\|>)?|(?= to=(?!self)))",
        "&#116;",
        ("to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>"),
        must_end=False,
    ),
    *(
        Front(rf"<(?i:{name})>", rf"</(?i:{name})>", "&lt;", (f"<{name}>", f"</{name}>"))
        for name in ("plan", "planning", "reason", "reasons")
    ),
    Front(
        rf"<(?i:details)(?=[\s>])(?:[^<>\n]{{0,120}}>\s{{0,9}}{_SUMMARY % (_THINKS + _TEXT)}"
        rf"|[^<>\n]{{0,80}}\b(?i:type)=[\"']?{_THINKS}[^<>\n]{{0,200}}>(?:\s{{0,9}}{_SUMMARY % ''})?+)",
        r"</(?i:details)>",
        "&lt;",
        ("<details>\n<summary>Thinking</summary>\n", "</details>"),
    ),
    *(
        Front(rf"\[(?i:{name})\](?!\()", rf"\[/(?i:{name})\]", "&lbrack;", (f"[{name}]", f"[/{name}]"))
        for name in ("REASONING", "THINKING", "THOUGHT", "THOUGHTS", "ANALYSIS", "PLAN")
    ),
    Front(
        rf"```(?i:{_WORD}|plan(?:ning)?|reason|analysis|scratchpad|rationale)[ \t]{{0,9}}\n",
        r"(?m:^[ \t]{0,9}```[ \t]{0,9}$)",
        "&#96;",
        ("```thinking\n", "\n```"),
        nests=r"(?m:^[ \t]{0,9}```[^\s`][^\n`]*$)",
    ),
)

ENTITIES: dict[str, str] = {"<": "&lt;", "[": "&lbrack;", "◁": "&#9665;"}
"""What stands for the first character of a mark that is text, by that character."""


_FRONT_BEGINS = "|".join(
    sorted({rf"{re.escape(front.example[0][0])}(?i:{re.escape(front.example[0][1])})" for front in FRONTS})
)
FRONT = re.compile(
    rf"\s*+(?={_FRONT_BEGINS})"  # what begins otherwise, as most texts do, is passed over at once
    rf"(?:{'|'.join(rf'(?P<front_{index}>{front.opens})' for index, front in enumerate(FRONTS))})"
)
"""The words of `FRONTS` with which a text begins; the name of the only group says which."""

_FRONT_ENDS = tuple(
    re.compile(f"(?P<nests>{front.nests})|{front.closes}" if front.nests else front.closes) for front in FRONTS
)


def front_end(text: str, index: int, start: int) -> tuple[int, int] | None:
    """Return where the words begin and end that end a thought of `FRONTS[index]`; None if there are none.

    Parts of it that have an end of the same kind are passed over. Where one of them has none, the last end counts.

    Args:
        text: All of it.
        index: Which of the fronts opened the thought.
        start: Where its text begins.
    """
    depth, last = 0, None
    for found in _FRONT_ENDS[index].finditer(text, start):
        if found.lastgroup == "nests":
            depth += 1
            continue
        last = found.span()
        if depth == 0:
            return last
        depth -= 1
    return last


def first_characters(more: str = "") -> str:
    """Return the pattern of the first character of every mark.

    Args:
        more: Pattern of other things that follow `<` and are meant as well.
    """
    return "|".join(rf"{re.escape(first)}(?={rest})" for first, rest in _rests(more).items())


def escaped_characters(more: str = "") -> str:
    """Return the pattern of what stands for the first character of a mark that is text, without its `&`; see there."""
    entities = [rf"{ENTITIES[first][1:]}(?={rest})" for first, rest in _rests(more).items()]
    return "|".join([*entities, *(rf"{front.entity[1:]}(?={front.rest})" for front in FRONTS)])


def _rests(more: str) -> dict[str, str]:
    """Return the patterns after the first character of a mark, by this character."""
    found: dict[str, list[str]] = {"<": [more] if more else []}
    for marks in MARKS:
        found.setdefault(marks.first, []).append(marks.begins)
    return {first: "|".join(begins) for first, begins in found.items()}


def _mark_pattern() -> str:
    """Return the pattern of a mark.

    A set of characters stands before all alternatives, and groups that hold nothing name them at their ends, so that searching
    skips what cannot match at its first character.
    """
    ways = [(f"opens_{marks.name}", marks.first, marks.opens) for marks in MARKS if marks.opens]
    ways += [(f"closes_{marks.name}", marks.first, marks.closes) for marks in MARKS]
    ways.append(("ends", "<", r"\|end\|>(?:(?:<\|begin\|>assistant)?<\|content\|>)?"))
    ways.append(("trails", "[", r"END FINAL RESPONSE\]"))
    rests: dict[str, list[str]] = {}
    for name, first, rest in ways:
        rests.setdefault(re.escape(first), []).append(rf"{rest}(?P<{name}>)")
    found = [rf"(?<={first})(?:{'|'.join(marks)})" for first, marks in rests.items()]
    return f"[{''.join(rests)}](?:{'|'.join(found)})"


THOUGHT_MARK = re.compile(_mark_pattern())
"""A mark; the name of the only group that fits says what it does: "opens_" or "closes_" and a name of the table, "ends" what
only some marks open, "trails" behind an answer."""

NAMED = {marks.name: marks for marks in MARKS}

__all__ = [
    "ENTITIES",
    "FRONT",
    "FRONTS",
    "MARKS",
    "NAMED",
    "THOUGHT_MARK",
    "Front",
    "Marks",
    "escaped_characters",
    "first_characters",
    "front_end",
]
