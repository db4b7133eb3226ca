"""How a request is played: an optional plan, in some modes a choice of modules, then rounds of acting.

`Rules` are the options of an episode, `Progress` is where it stands; both are plain values. What an agent's message means for
the protocol is read here; what it does to the car is done by `env.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from palaestra.envs.core.typed import typed
from palaestra.envs.formats.call_values import code_end, end_of_line
from palaestra.envs.formats.speech import announces, has_words, manner
from palaestra.envs.vehicle.car.car import PROFILES, Profile
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES
from palaestra.errors import ConfigError, unknown_name
from palaestra.types import Json
from palaestra.types.plain_json import strict_json

Stage = Literal["plan", "select", "act"]

MODES = ("fc", "sfc", "hybrid")
REFLECTIONS = {"fc": 3, "sfc": 0, "hybrid": 1}
"""Further messages with code after the first, by mode: the published settings."""
STATE_FORMS = ("plain", "wrapped")
SELECTION_STATES = ("full", "compact")
CALL_FORMS = ("text", "tools")
TOOL_SCOPES = ("all", "modules", "selected")
REWARDS = ("requests", "accuracy", "final")
MAX_SELECTED = 6
MAX_PROBLEMS = 50  # of names chosen; a message of nothing but wrong names is not read to its end
MAX_PLAN_CHARS = 4000

_MODULES_BLOCK = re.compile(r"<modules>(.*?)(?:</modules>|\Z)", re.DOTALL | re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")
_CALLS = re.compile(r"\bvw(?:\.\w+)+\s?[(\[=]")
_BARE = re.compile(
    r"^[ \t]*(?:[-*>][ \t]+|\d{1,3}[.)][ \t]+|`)?(?:[A-Za-z_]\w*[ \t]*=[ \t]*)?(?:print\()?(?:del[ \t]+)?"
    r"(?:vw(?:\s?\.\s?\w+)*[ \t]*(?:\(|\[|=[^=])|get_modules\(|get_module_API\()",
    re.MULTILINE,
)
_NAMES = "|".join(MODULES)
_HEAD = re.compile(  # a function or a place of the car, and what looks like arguments or a value
    rf"(?<![\w.])((?:vw\s?\.\s?|carcontrol_)?(?:(?:{_NAMES})(?:\s?\.\s?\w{{1,60}}){{1,4}}|(?:{_NAMES})_\w{{1,60}})|vw(?:\.\w{{1,60}}){{1,4}}"
    r"|get_modules|get_module_API)[*`\]\"']{0,3}(?=\s?\(|\s{0,2}[{\[]\s?[\"'}\w]|\s?=[^=]|[\w\s:,`*]{0,30}\{\s*[\"'}])"
)
_VALUE = re.compile(r"\s?=[^=]")
_WRITES = re.compile(r"\A(?:\s|#[^\n]*\n)*(?:del\s+vw\b|vw\s*\[|vw(?:\s*\.\s*\w+)+\s*(?:\[|=[^=])|[{\[])")


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of `VehicleWorldEnv` that shape an episode; its docstring says what they mean.

    Raises:
        ConfigError: If two options contradict each other, or one is out of its range.
        UnknownNameError: If an option is none of the words it may be.
    """

    mode: str = "fc"
    profile: Profile = "fixed"
    reflections: int = 3
    few_shot: bool = False
    plan: bool = False
    extra_modules: int | None = None
    state_form: str = "plain"
    selection_state: str = "full"
    constants: bool = False
    schema: bool = True
    calls: str = "text"
    tool_scope: str = "all"
    mixed: bool = False
    reward: str = "requests"

    def __post_init__(self) -> None:
        """Check the options."""
        words: tuple[tuple[str, Sequence[str]], ...] = (
            ("mode", MODES),
            ("profile", PROFILES),
            ("state_form", STATE_FORMS),
            ("selection_state", SELECTION_STATES),
            ("calls", CALL_FORMS),
            ("tool_scope", TOOL_SCOPES),
            ("reward", REWARDS),
        )
        for name, known in words:
            value = getattr(self, name)
            if value not in known:
                raise unknown_name(name, value, known)
        for name in ("few_shot", "plan", "constants", "schema", "mixed"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected True or False.")
        _check_count("reflections", self.reflections)
        if self.extra_modules is not None:
            _check_count("extra_modules", self.extra_modules)
        if self.calls == "tools" and self.mode == "sfc":
            raise ConfigError("calls='tools' is for the modes 'fc' and 'hybrid'; mode 'sfc' writes state and calls nothing.")

    @property
    def has_selection(self) -> bool:
        """Whether modules are chosen before acting."""
        return self.mode != "fc"

    @property
    def native(self) -> bool:
        """Whether functions are offered as tools."""
        return self.calls == "tools"

    @property
    def loads_tools(self) -> bool:
        """Whether the tools that are offered change in the course of an episode."""
        return self.native and self.tool_scope == "selected"

    def first_stage(self) -> Stage:
        """Return the stage that a request begins in."""
        return "plan" if self.plan else self.after_plan()

    def after_plan(self) -> Stage:
        """Return the stage that follows the plan."""
        return "select" if self.has_selection else "act"


@dataclass(slots=True)
class Progress:
    """Where an episode stands.

    Attributes:
        index: Which request is the current one, from 0.
        stage: What the next message is for.
        round: Messages that have acted on the current request.
        plan: Plan for the current request; empty without one.
        selected: Modules chosen for the current request.
        shown: Modules whose schema or functions the agent has been shown.
        opened: Modules whose functions are offered as tools, where tools are loaded.
        feedback: What the last message was told, for the current request.
        played: What has acted on the car in the current request, to be played again from its start.
    """

    index: int = 0
    stage: Stage = "act"
    round: int = 0
    plan: str = ""
    selected: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    feedback: str = ""
    played: list[Json] = field(default_factory=list)

    def next_request(self, first: Stage) -> None:
        """Go on to the next request, which begins in stage `first`."""
        self.index += 1
        self.stage = first
        self.round = 0
        self.plan = self.feedback = ""
        self.selected = ()
        self.played = []

    def show(self, modules: Iterable[str]) -> list[str]:
        """Return those of the modules that have not been shown, and count them as shown."""
        fresh = [module for module in modules if module not in self.shown]
        self.shown += tuple(fresh)
        return fresh

    def to_json(self) -> dict[str, Json]:
        """Return the progress as plain data."""
        row: dict[str, Json] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("selected", "shown", "opened", "played"):
            row[name] = list(row[name])
        return row

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        """Return the progress that `to_json` described."""
        row = dict(data)
        for name in ("selected", "shown", "opened"):
            row[name] = tuple(row[name])
        return typed(cls, {**row, "played": list(row["played"])})


class Selection(NamedTuple):
    """Modules that a message chooses.

    Attributes:
        modules: Known ones, at most `MAX_SELECTED`, in the order named.
        problems: What was wrong with the others; empty if nothing.
    """

    modules: tuple[str, ...]
    problems: tuple[str, ...]


def read_selection(text: str, known: Sequence[str]) -> Selection | None:
    """Read the last `<modules>` block of a message: one name a line, or separated by commas.

    Args:
        text: The message.
        known: Modules that may be chosen; the environment may be named and is always there.

    Returns:
        The choice, or None if the message holds no such block.
    """
    blocks = _MODULES_BLOCK.findall(text)
    if not blocks:
        return None
    words = (_BULLET.sub("", word) for line in blocks[-1].splitlines() for word in line.split(","))
    return choose_modules((word.strip(" \t`'\".;") for word in words), known)


def choose_modules(names: Iterable[str], known: Sequence[str]) -> Selection:
    """Sort names into modules that may be chosen and problems."""
    spellings = {module.casefold(): module for module in known}
    chosen: dict[str, None] = {}
    problems: list[str] = []
    for name in names:
        module = spellings.get(name.casefold())
        if not name or name.casefold() == ENVIRONMENT or module in chosen:
            continue
        if len(problems) == MAX_PROBLEMS:
            problems.append("The names after that were not read.")
            break
        if module is None:
            close = difflib.get_close_matches(name[:60], known, n=1, cutoff=0.5)
            problems.append(f"There is no module {name[:60]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        elif len(chosen) == MAX_SELECTED:
            problems.append(f"{module} was left out: at most {MAX_SELECTED} modules can be chosen.")
        else:
            chosen[module] = None
    return Selection(tuple(chosen), tuple(problems))


def is_writing(code: str) -> bool:
    """Whether code writes state (assignments on `vw[...]`, a map, a list of operations) rather than calling functions."""
    return _WRITES.match(code) is not None


def looks_like_code(text: str) -> bool:
    """Whether a message without a block of code plainly tries to act: a call that is not only spoken of, or bare JSON."""
    if _BARE.search(text) or ("```" in text and _CALLS.search(text)):
        return True
    for count, head in enumerate(_HEAD.finditer(text)):
        end = code_end(text, head.end(1)) or end_of_line(text, head.end())
        if count == MAX_PROBLEMS:
            return True
        if manner(text, head.start(), end) != "spoken" and not _is_state(text, head):
            return True
    whole = text.strip()
    if whole[:1] not in ("{", "[") or len(whole) < 3:
        return False
    try:
        value = strict_json(whole)
    except (ValueError, RecursionError):
        return "vw" in whole
    return isinstance(value, (dict, list))


def _is_state(text: str, head: re.Match[str]) -> bool:
    """Whether a place and its value are reported: without "vw." they are no code, and words stand before them."""
    if head[0].startswith("vw") or not _VALUE.match(text, head.end()) or not has_words(text[: head.start()]):
        return False
    return not announces(text, head.start(), head.end())


def _check_count(name: str, value: object) -> None:
    """Refuse what is no whole number of at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{name} is {value!r}; expected an integer of at least 0.")


__all__ = [
    "MAX_SELECTED",
    "MODES",
    "REFLECTIONS",
    "Progress",
    "Rules",
    "Selection",
    "choose_modules",
    "is_writing",
    "looks_like_code",
    "read_selection",
]
