"""Reads `.tw-pddl` game files: JSON with a domain, a grammar and a problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.formulas import Clause
from palaestra.envs.agentgym.alfworld.engine.grammar import ActionTexts, Grammar, Rule, read_grammar, read_symbols
from palaestra.envs.agentgym.alfworld.engine.pddl import Action, Domain, Effect, Problem, read_domain, read_problem
from palaestra.envs.core.data_files import kind_of, place_of, read_data, shown
from palaestra.errors import ConfigError, MissingDataError

Dialect = Literal["put", "move"]
"""How an object is put down: `put O in/on R` (alfworld before 0.4) or `move O to R`."""

MAX_BYTES = 128 * 2**20
PUT_COMMANDS: Mapping[Dialect, str] = {"put": "put {o} in/on {r}", "move": "move {o} to {r}"}

HELP_COMMANDS = (
    ("look:                             ", "look around your current location"),
    ("inventory:                        ", "check your current inventory"),
    ("go to (receptacle):               ", "move to a receptacle"),
    ("open (receptacle):                ", "open a receptacle"),
    ("close (receptacle):               ", "close a receptacle"),
    ("take (object) from (receptacle):  ", "take an object from a receptacle"),
    ("move (object) to (receptacle):  ", "place an object in or on a receptacle"),
    ("examine (something):              ", "examine a receptacle or an object"),
    ("use (object):                     ", "use an object"),
    ("heat (object) with (receptacle):  ", "heat an object using a receptacle"),
    ("clean (object) with (receptacle): ", "clean an object using a receptacle"),
    ("cool (object) with (receptacle):  ", "cool an object using a receptacle"),
    ("slice (object) with (object):     ", "slice an object using a sharp object"),
)
"""What `help` lists; games of the dialect "move" have it."""

HELP_TEXT = "Available commands:\n" + "".join(f"  {command}{purpose}\n" for command, purpose in HELP_COMMANDS)

_SAID: Mapping[Dialect, Mapping[str, str]] = {
    "put": {
        "putobject.feedback": "You put the {o.name} in/on the {r.name}.",
        "gotolocation.feedback": "You arrive at {lend.name}. #examineReceptacle.feedback#",
    },
    "move": {
        "putobject.feedback": "You move the {o.name} to the {r.name}.",
        "gotolocation.feedback": "You arrive at {r.name}. #examineReceptacle.feedback#",
    },
}


@dataclass(frozen=True, eq=False)
class GameFile:
    """The contents of a game file.

    Attributes:
        domain: What can be done.
        grammar: What is said.
        problem: The room and the goal.
        dialect: How an object is put down.
        walkthrough: Commands that win the game, if the file has some.
        digest: Digest of the contents as they were read, 16 hexadecimal digits.
    """

    domain: Domain
    grammar: Grammar
    problem: Problem
    dialect: Dialect
    walkthrough: tuple[str, ...]
    digest: str

    def turned(self, dialect: Dialect) -> GameFile:
        """Return the same game in a dialect: command and answer of putting down, what is said on arrival, and `help`.

        Raises:
            GameFileError: If the game has no texts that could be changed.
        """
        if dialect == self.dialect:
            return self
        said, rules = _SAID[dialect], dict(self.grammar.rules)
        actions, domain = dict(self.grammar.actions), self.domain
        for name in rules:
            if name.lower() in said:
                rules[name] = (Rule((), read_symbols(said[name.lower()])),)
        if "putobject" not in actions or not said.keys() <= {name.lower() for name in rules}:
            raise GameFileError(f"the game has no texts that could be changed to the dialect {dialect!r}")
        actions["putobject"] = ActionTexts(PUT_COMMANDS[dialect], actions["putobject"].feedback)
        if dialect == "put":
            actions.pop("help", None)
        else:
            actions["help"] = ActionTexts("help", HELP_TEXT)
            if "help" not in domain.actions:
                effect = Effect((), True, "checked", ("?a",)) if domain.predicates.get("checked") == 1 else None
                action = Action("help", (("?a", "agent"),), (Clause((), ()),), () if effect is None else (effect,))
                domain = replace(domain, actions={**domain.actions, "help": action})
        return replace(self, domain=domain, grammar=Grammar(rules, actions), dialect=dialect)


def read_game(path: str | Path) -> GameFile:
    """Read a game file.

    Raises:
        MissingDataError: If there is none.
        GameFileError: If it cannot be played; the message names the file and the reason.
    """
    path = place_of(path)
    if kind_of(path) == "nothing":
        raise MissingDataError(f"There is no game file at {shown(path)}; expected a file of ALFWorld, game.tw-pddl.")
    try:
        data = read_data(path, max_bytes=MAX_BYTES)
    except GameFileError:
        raise
    except ConfigError as error:
        raise GameFileError(str(error)) from None
    try:
        contents = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise GameFileError(
            f"{shown(path)} is not a game file: it is not JSON ({error}). Copy it again from where it came from."
        ) from None
    try:
        return parse_game(contents, digest=hashlib.blake2b(data, digest_size=8).hexdigest())
    except GameFileError as error:
        raise unplayable(path, error) from None


def unplayable(path: Path, error: GameFileError) -> GameFileError:
    """Return the error of a file whose contents cannot be played."""
    return GameFileError(f"{shown(path)} cannot be played: {error}. Copy it again from where it came from.")


def parse_game(contents: Any, *, digest: str = "") -> GameFile:
    """Read the contents of a game file.

    Args:
        contents: A map with the texts `pddl_domain`, `grammar` and `pddl_problem`, and perhaps the list `walkthrough`.
        digest: Digest of the contents; made here if it is empty.

    Raises:
        GameFileError: If they cannot be played.
    """
    if not isinstance(contents, Mapping):
        raise GameFileError(
            f"it is a {type(contents).__name__}, not an object with 'pddl_domain', 'grammar' and 'pddl_problem'"
        )
    texts = [contents.get(key) for key in ("pddl_domain", "grammar", "pddl_problem")]
    for key, text in zip(("pddl_domain", "grammar", "pddl_problem"), texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise GameFileError(f"it has no text {key!r}" if not isinstance(text, str) else f"its text {key!r} is empty")
    domain_text, grammar_text, problem_text = (text.removeprefix("\ufeff") for text in cast("list[str]", texts))
    walkthrough = contents.get("walkthrough") or ()
    if not isinstance(walkthrough, list | tuple) or not all(isinstance(command, str) for command in walkthrough):
        raise GameFileError("its walkthrough is not a list of commands")
    domain = _domain(domain_text)
    grammar = read_grammar(grammar_text)
    template = grammar.actions["putobject"].template if "putobject" in grammar.actions else ""
    if not digest:
        digest = hashlib.blake2b("\0".join(cast("list[str]", texts)).encode(), digest_size=8).hexdigest()
    return GameFile(
        domain,
        grammar,
        read_problem(problem_text, domain),
        "put" if "in/on" in template else "move",
        tuple(walkthrough),
        digest,
    )


_domain = lru_cache(maxsize=16)(read_domain)

__all__ = ["HELP_TEXT", "PUT_COMMANDS", "Dialect", "GameFile", "parse_game", "read_game", "unplayable"]
