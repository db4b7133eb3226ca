"""Reads the text grammar of ALFWorld's game files: what a command reads like, and what is said when it was played.

    grammar :: \"\"\"{"look": [{"condition": "opened(r:receptacle)", "rhs": "The {r.name} is open."}, ...]}\"\"\";
    action OpenObject { template :: "open {r}"; feedback :: "#look#"; grammar :: \"\"\"{...}\"\"\"; }

The right-hand side of a rule holds plain text, `#RULE#`, `{EXPRESSION}`, `{EXPRESSION | FACTS}` (for every solution of the
facts) and `[{EXPRESSION | FACTS}]` (the same as a list with separators). The original evaluates expressions as Python; here
they are compiled from a few kinds of nodes, and nothing is evaluated.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError

Variable = tuple[str, str]
"""Name and type of a variable; one name with two types is two variables."""


class Name(NamedTuple):
    """What texts say of an object."""

    name: str
    id: str
    indefinite: str
    definite: str
    type: str


class Query(NamedTuple):
    """A fact that is asked for.

    Attributes:
        predicate: Its predicate.
        is_deleted: Whether facts are asked for that were deleted and not stated again (`not_...`).
        variables: Its arguments.
    """

    predicate: str
    is_deleted: bool
    variables: tuple[Variable, ...]


class Part(NamedTuple):
    """A variable's attribute, or a constant text.

    Attributes:
        text: The text; empty for a variable.
        variable: Name of the variable; empty for a text.
        attribute: Position of the attribute in `Name`.
    """

    text: str
    variable: str = ""
    attribute: int = 0

    def say(self, names: Mapping[str, Name]) -> str:
        """Return the text."""
        return names[self.variable][self.attribute] if self.variable else self.text


class Sum(NamedTuple):
    """Texts one after the other."""

    parts: tuple[Expression, ...]

    def say(self, names: Mapping[str, Name]) -> str:
        """Return the text."""
        return "".join([part.say(names) for part in self.parts])


class FirstOf(NamedTuple):
    """The first text that is not empty."""

    parts: tuple[Expression, ...]

    def say(self, names: Mapping[str, Name]) -> str:
        """Return the text."""
        return next((text for part in self.parts if (text := part.say(names))), "")


Expression = Part | Sum | FirstOf


class Call(NamedTuple):
    """The text of a rule."""

    rule: str


class Each(NamedTuple):
    """An expression or rule, for every solution of some queries (once where there are none).

    Attributes:
        content: What is said for each.
        queries: The facts asked for; None for no question at all.
        is_list: Whether the texts are joined as a list.
        reads: Names of the variables that the expression reads.
    """

    content: Expression | Call
    queries: tuple[Query, ...] | None
    is_list: bool
    reads: frozenset[str] = frozenset()


Symbol = str | Call | Each


class Rule(NamedTuple):
    """One alternative of a rule: said if the condition has a solution."""

    condition: tuple[Query, ...]
    symbols: tuple[Symbol, ...]


class ActionTexts(NamedTuple):
    """The texts of an action: its command, and what is said afterwards."""

    template: str
    feedback: str


@dataclass(frozen=True, eq=False)
class Grammar:
    """The texts of a game.

    Attributes:
        rules: Alternatives of each rule, in order; the first whose condition holds is said.
        actions: Texts of each action by its name in small letters.
    """

    rules: Mapping[str, tuple[Rule, ...]]
    actions: Mapping[str, ActionTexts]


_PIECE = re.compile(r'"""(.*?)"""|"([^"]*)"|#[^\n]*|::|[;{}]|[^\s;:{}"]+', re.DOTALL)
_SYMBOL = re.compile(r'\[\{([^{}\n]*)\}\]|\{([^{}\n]*)\}|#([\w()/!<>\-\s,.]+)#|"([^;|"<>\[\]#{}]*)"|([^;|"<>\[\]#{}]+)')
_SKIPPED = re.compile(r"(//[^\n]*|\s*)\n?")
_ATOM = re.compile(r"([\w@]+)\(([^)]*)\)")
_ATTRIBUTES = Name._fields


@lru_cache(maxsize=64)
def read_grammar(text: str) -> Grammar:
    """Read a grammar.

    Raises:
        GameFileError: If it cannot be read; every rule is looked at.
    """
    if text.count('"""') % 2:
        raise GameFileError('grammar: the text is cut off (a """ has no end)')
    rules: dict[str, tuple[Rule, ...]] = {}
    actions: dict[str, dict[str, str]] = {}
    action: str | None = None
    key = ""
    pieces = _PIECE.finditer(text)
    for piece in pieces:
        word, block, quoted = piece[0], piece[1], piece[2]
        if block is not None:
            if key == "grammar":
                rules.update(_read_rules(block))
            elif action is not None:
                actions[action][key] = block
        elif quoted is not None:
            if action is not None:
                actions[action][key] = quoted
        elif word == "action":
            name = next(pieces, None)
            action = "" if name is None else name[0].lower()
            actions[action] = {}
        elif word in ("template", "feedback", "grammar", "pddl"):
            key = word
        elif word == "}":
            action = None
    if action is not None:
        raise GameFileError(f"grammar: the text is cut off (the action {action or 'at its end'} has no end)")
    texts = {}
    for name_, fields in actions.items():
        if "template" not in fields or "feedback" not in fields:
            raise GameFileError(f"grammar: the action {name_} has no template or no feedback")
        texts[name_] = ActionTexts(fields["template"], fields["feedback"])
    return Grammar(rules, texts)


@lru_cache(maxsize=4096)
def read_symbols(text: str) -> tuple[Symbol, ...]:
    """Return the symbols of the right-hand side of a rule.

    The quirks are those of the original's lexer, which published texts depend on: blank text (line breaks too) and `//` lines
    are dropped where a line begins, tabs everywhere; a text in quotes loses them; the first character that cannot be read ends
    the rule.

    Raises:
        GameFileError: If an expression or a condition cannot be read.
    """
    found: list[Symbol] = []
    at = 0
    while at < len(text):
        if (after := _after_skipped(text, at)) > at:
            at = after
            continue
        match = _SYMBOL.match(text, at)
        if match is None:
            break
        at = match.end()
        listed, single, rule, quoted, plain = match.groups()
        if listed is not None or single is not None:
            found.append(_each(listed if listed is not None else single, is_list=listed is not None))
        elif rule is not None:
            found.append(Call(rule))
        else:
            found.append((quoted or plain or "").replace("\\n", "\n"))
    return tuple(found)


@lru_cache(maxsize=4096)
def read_queries(text: str) -> tuple[Query, ...]:
    """Read `opened(r:receptacle) & not_holds(a:agent, o:object)`.

    Raises:
        GameFileError: If that is not what it is.
    """
    found = []
    for part in text.split("&"):
        match = _ATOM.fullmatch(part.strip())
        if match is None:
            raise GameFileError(f"grammar: the condition {text[:80]!r} cannot be read")
        variables = []
        for argument in filter(None, (argument.strip() for argument in match[2].split(","))):
            name, colon, kind = argument.partition(":")
            if not colon:
                raise GameFileError(f"grammar: {argument!r} in the condition {text[:80]!r} has no type, as in 'o:object'")
            variables.append((name.strip(), kind.strip()))
        is_deleted = match[1].startswith("not_")
        found.append(Query(match[1].removeprefix("not_"), is_deleted, tuple(variables)))
    return tuple(found)


def check_texts(grammar: Grammar, starts: Mapping[str, frozenset[str]]) -> None:
    """Look whether every text can be said that the game may ever say.

    Args:
        grammar: The texts.
        starts: Texts that the game begins with, and the names of the variables that it gives them.

    Raises:
        GameFileError: If a rule is missing, reads an unknown variable, or leads to itself.
    """
    seen: set[tuple[str, frozenset[str]]] = set()

    def look(symbols: tuple[Symbol, ...], names: frozenset[str], path: tuple[str, ...]) -> None:
        for symbol in symbols:
            if isinstance(symbol, str):
                continue
            if isinstance(symbol, Call):
                look_at_rule(symbol.rule, names, path)
                continue
            known = names | {name for query in symbol.queries or () for name, _ in query.variables}
            if isinstance(symbol.content, Call):
                look_at_rule(symbol.content.rule, known, path)
            elif loose := symbol.reads - known:
                place = path[-1] if path else "a template"
                raise GameFileError(f"grammar: {place} reads {min(loose)!r}, which is not a variable there")
            if symbol.is_list:
                for rule in ("list_empty", "list_separator", "list_last_separator"):
                    look_at_rule(rule, known, path)

    def look_at_rule(rule: str, names: frozenset[str], path: tuple[str, ...]) -> None:
        if rule not in grammar.rules:
            raise GameFileError(f"grammar: there is no rule #{rule}#")
        if rule in path:
            raise GameFileError(f"grammar: the rule #{rule}# leads to itself")
        if (rule, names) not in seen:
            seen.add((rule, names))
            for alternative in grammar.rules[rule]:
                look(alternative.symbols, names, (*path, rule))

    for text, names in starts.items():
        look(read_symbols(text), names, ())


def _read_rules(block: str) -> dict[str, tuple[Rule, ...]]:
    """Read a block of rules: JSON, less the lines that begin with `#`."""
    lines = "\n".join(line for line in block.split("\n") if not line.lstrip().startswith("#"))
    try:
        given = json.loads(lines)
    except (ValueError, RecursionError) as error:
        raise GameFileError(f"grammar: a block of rules is not JSON ({error})") from None
    if not isinstance(given, dict):
        raise GameFileError("grammar: a block of rules is not an object of names and lists")
    return {name: tuple(_read_rule(name, entry) for entry in _listed(name, entries)) for name, entries in given.items()}


def _listed(name: str, entries: object) -> list[object]:
    """Return the alternatives of a rule."""
    if not isinstance(entries, list) or not entries:
        raise GameFileError(f"grammar: the rule #{name}# is not a list of alternatives")
    return entries


def _read_rule(name: str, entry: object) -> Rule:
    """Read one alternative."""
    text = entry.get("rhs") if isinstance(entry, dict) else None
    condition = entry.get("condition") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not isinstance(condition, str | None):
        raise GameFileError(
            f'grammar: an alternative of the rule #{name}# is not of the form {{"rhs": TEXT, "condition": TEXT}}'
        )
    return Rule(read_queries(condition) if condition else (), read_symbols(text))


def _after_skipped(text: str, at: int) -> int:
    """Return the position after what the lexer drops here."""
    if at == 0 or text[at - 1] == "\n":
        match = _SKIPPED.match(text, at)
        if match is not None and match.end() > at:
            return match.end()
    return at + 1 if text[at] == "\t" else at


def _each(body: str, *, is_list: bool) -> Each:
    """Read what stands between braces."""
    content, bar, queries = body.partition("|")
    content = content.strip()
    asked = read_queries(queries.strip()) if bar and queries.strip() else None
    if content.startswith("#"):
        return Each(Call(content[1:-1]), asked, is_list)
    said, reads = _expression(content)
    return Each(said, asked, is_list, reads)


@lru_cache(maxsize=4096)
def _expression(text: str) -> tuple[Expression, frozenset[str]]:
    """Compile an expression (names, their attributes, texts, `+` and `or`), and return the names of its variables too."""
    try:
        node = ast.parse(text, mode="eval").body
        return _compiled(node, text), frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
    except GameFileError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GameFileError(f"grammar: the expression {text[:80]!r} cannot be read") from None


def _compiled(node: ast.expr, text: str) -> Expression:
    """Return the expression of one node."""
    match node:
        case ast.Constant(value=str(constant)):
            return Part(constant)
        case ast.Name(id=name):
            return Part("", name, _ATTRIBUTES.index("name"))
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if attribute in _ATTRIBUTES:
            return Part("", name, _ATTRIBUTES.index(attribute))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return Sum((_compiled(left, text), _compiled(right, text)))
        case ast.BoolOp(op=ast.Or(), values=values):
            return FirstOf(tuple(_compiled(value, text) for value in values))
    raise GameFileError(f"grammar: the expression {text[:80]!r} is not supported")


__all__ = [
    "ActionTexts",
    "Call",
    "Each",
    "Expression",
    "FirstOf",
    "Grammar",
    "Name",
    "Part",
    "Query",
    "Rule",
    "Sum",
    "Symbol",
    "Variable",
    "check_texts",
    "read_grammar",
    "read_queries",
    "read_symbols",
]
