"""All small changes of a source file, as mutmut makes them, less those that no test could or should notice.

A change has a name that depends on its function and its text, not on its line, and a draw depends on the names only: with the
same seed the same changes are drawn again after the code around them has moved.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

from tests.mutation.folders import FOLDERS

TEXTS = (cst.SimpleString, cst.FormattedString, cst.ConcatenatedString)
RAISING = ("unknown_name", "warn", "_damaged", "explain")
"""Functions that build an error or give a warning: what they are told are its words."""
LOGS = ("log", "_log", "logger", "_logger")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one function.

    Attributes:
        name: `file:function:digest`, the same wherever the function is moved within its file.
        file: Path from the root of the project.
        lines: First and last line of what is replaced.
        index: Which of the changes of its file.
    """

    name: str
    file: str
    lines: tuple[int, int]
    index: int


class Source:
    """A file and its changes.

    Args:
        file: Path from the root of the project.
        root: The root.
    """

    def __init__(self, file: str, root: Path) -> None:
        """Parse it."""
        self.file, self.text = file, (root / file).read_text(encoding="utf-8")
        wrapper = MetadataWrapper(cst.parse_module(self.text))
        visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
        self._module: cst.Module = wrapper.visit(visitor)
        self._parents: Mapping[cst.CSTNode, cst.CSTNode] = wrapper.resolve(ParentNodeProvider)  # type: ignore[assignment]
        positions = wrapper.resolve(PositionProvider)
        self._mutations: list[Mutation] = []
        self.changes: list[Change] = []
        same: Counter[str] = Counter()
        for one in visitor.mutations:
            if one.contained_by_top_level_function is None or self._left_out(one):
                continue
            function = self._function(one.original_node)
            text = f"{function}\0{self._code(one.original_node)}\0{self._code(one.mutated_node)}"
            same[text] += 1
            name = f"{file}:{function}:{hashlib.sha256(f'{text}{same[text]}'.encode()).hexdigest()[:10]}"
            span = positions[one.original_node]
            self.changes.append(Change(name, file, (span.start.line, span.end.line), len(self._mutations)))
            self._mutations.append(one)

    def changed(self, change: Change) -> str:
        """Return the text of the file with one change."""
        one = self._mutations[change.index]
        return self._module.deep_replace(one.original_node, one.mutated_node).code  # type: ignore[arg-type,union-attr]

    def diff(self, change: Change) -> str:
        """Return a change as lines that are taken out and put in."""
        lines = difflib.unified_diff(self.text.splitlines(), self.changed(change).splitlines(), n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++")))

    def _code(self, node: cst.CSTNode) -> str:
        return self._module.code_for_node(node)

    def _ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        while (parent := self._parents.get(node)) is not None:
            yield parent
            node = parent

    def _function(self, node: cst.CSTNode) -> str:
        """Return the qualified name of the function around a node."""
        around = [node, *self._ancestors(node)]
        return ".".join(n.name.value for n in reversed(around) if isinstance(n, cst.FunctionDef | cst.ClassDef))

    def _left_out(self, one: Mutation) -> bool:
        """Whether a change is left out by rule: docs/development.md has the rules and their reasons."""
        old, new = one.original_node, one.mutated_node
        around = [old, *self._ancestors(old)]
        if self._code(old) == self._code(new) or any(isinstance(node, cst.Assert) for node in around):
            return True
        if any(isinstance(node, cst.Arg) and _is_strict(node, self._parents[node]) for node in around):
            return True
        if isinstance(old, cst.Call):
            return self._is_idle_argument(old, new) or (
                self._is_about_errors(old, around) and any(isinstance(arg.value, TEXTS) for arg in _gone(old, new))
            )
        is_in_words = any(isinstance(node, cst.FormattedString) for node in around[1:])
        if isinstance(old, TEXTS) or is_in_words:  # the words of an error, and what is counted or spelt in them
            return self._is_about_errors(old, around) or self._is_name_of_encoding(old, new) or self._is_type(around)
        return False

    def _is_about_errors(self, old: cst.CSTNode, around: list[cst.CSTNode]) -> bool:
        """Whether a node is in a `raise`, or among the arguments of an exception, a warning or a line of a log."""
        return any(
            isinstance(node, cst.Raise)
            or (
                isinstance(node, cst.Call)
                and (_called(node) in RAISING or _called(node).endswith(("Error", "Warning")) or _is_of_log(node))
            )
            for node in around
        )

    def _is_name_of_encoding(self, old: cst.CSTNode, new: cst.CSTNode) -> bool:
        return self._code(old).lower() == self._code(new).lower() and "utf-8" in self._code(old).lower()

    def _is_type(self, around: list[cst.CSTNode]) -> bool:
        """Whether a text is a type that `cast` is told, which it never looks at."""
        return any(
            isinstance(node, cst.Call) and _called(node) == "cast" and around[i - 1] is node.args[0]
            for i, node in enumerate(around)
        )

    def _is_idle_argument(self, old: cst.Call, new: cst.CSTNode) -> bool:
        """Whether all that changes is `strict` of `zip`, a flag from False to None, or the type that `cast` is told."""
        gone = _gone(old, new)
        if len(gone) != 1:
            return False
        (arg,) = gone
        name = "" if arg.keyword is None else arg.keyword.value
        to_none = isinstance(new, cst.Call) and len(new.args) == len(old.args)
        return (
            _is_strict(arg, old)
            or (bool(name) and to_none and m.matches(arg.value, m.Name("False")))
            or (_called(old) == "cast" and to_none and arg is old.args[0])
        )


def _called(call: cst.Call) -> str:
    """Return the last name of what is called."""
    if isinstance(call.func, cst.Attribute):
        return call.func.attr.value
    return call.func.value if isinstance(call.func, cst.Name) else ""


def _is_of_log(call: cst.Call) -> bool:
    """Whether a call writes a line of a log."""
    return m.matches(call.func, m.Attribute(value=m.Name(m.MatchIfTrue(lambda name: name in LOGS))))


def _is_strict(arg: cst.Arg, call: cst.CSTNode) -> bool:
    """Whether an argument is `strict` of `zip`: a check of ours, which never fails."""
    is_zip = isinstance(call, cst.Call) and _called(call) == "zip"
    return is_zip and arg.keyword is not None and arg.keyword.value == "strict"


def _gone(old: cst.Call, new: cst.CSTNode) -> list[cst.Arg]:
    """Return the arguments that a change replaces or takes out."""
    kept = set(map(id, new.args)) if isinstance(new, cst.Call) else set()
    return [arg for arg in old.args if id(arg) not in kept]


def all_sources(root: Path) -> dict[str, Source]:
    """Return the files that are changed, by their path from the root."""
    files = sorted(file.relative_to(root).as_posix() for folder in FOLDERS for file in (root / folder).rglob("*.py"))
    return {file: Source(file, root) for file in files}


def draw(changes: list[Change], n: int, seed: int) -> list[Change]:
    """Return `n` changes, drawn by their names: others that are added or taken out leave the draw of these as it is."""
    return sorted(changes, key=lambda one: hashlib.sha256(f"{seed}\0{one.name}".encode()).digest())[:n]
