"""What runs the tools of an instance: tables in this process, Python sources in the sandbox.

`Runner` holds one sandbox and the programs of the sources that were called last. `call` gives the result of a tool as data, or
raises `ToolRefusal` with the status; `call_as_published` gives the text that the published scorer gives, the words of
exceptions included.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from palaestra.envs.sandbox import Program, Sandbox
from palaestra.envs.sandbox.routing import read_source
from palaestra.envs.toolforge.tables import run_table
from palaestra.envs.tools import ToolRefusal
from palaestra.types import Json, ToolStatus

MAX_PROGRAMS = 512
"""Programs that a runner remembers; a published instance has at most 19 tools."""
PUBLISHED_TIMEOUT_S = 10.0
PUBLISHED_OUTPUT_CHARS = 1_000_000
ERROR = "an error occured when call {name}: {text}"
"""How the published scorer tells an agent of an error, spelling included."""

_FAILURES: Mapping[str, str] = {
    "error": "The tool failed on these arguments. Try other ones.",
    "timeout": "The tool took too long. Try other arguments.",
    "crash": "The tool gave nothing usable. Try other arguments.",
    "blocked": "The tool tried something that is not allowed here.",
    "invalid_arguments": "The tool does not take these arguments; look at its parameters.",
}
_ENTRY = "call_as_published"
_DRIVER = f"""

def {_ENTRY}(text):
    import json
    try:
        value = NAME(**json.loads(text))
        if IS_PLAIN:
            return [1, json.dumps(value, ensure_ascii=False)]
        return [1, value if isinstance(value, str) else str(value)]
    except Exception as error:
        return [0, str(error)]
"""
_OWN_TYPES = re.compile(r"\b(class|OrderedDict|defaultdict|Counter|namedtuple)\b")
"""Where a dict may be of a class of its own, which the scorer writes with `str`; `type` costs the source its kept worker."""


class Runner:
    """Runs the tools of instances; pickles without its workers.

    Args:
        executor: As of `Sandbox`, for Python sources.
        timeout_s: Seconds of wall time that a call of a source may take.
        output_chars: Most characters of its result.
    """

    def __init__(self, executor: str = "auto", *, timeout_s: float = 2.0, output_chars: int = 16384) -> None:
        """Make the sandbox; it starts nothing before the first source is called."""
        self.sandbox = Sandbox(executor, timeout_s=timeout_s, output_chars=output_chars)
        self._programs: OrderedDict[str, Program] = OrderedDict()

    def call(self, implementation: Mapping[str, Any], name: str, arguments: Mapping[str, Json]) -> Json:
        """Return the result of a tool.

        Args:
            implementation: `{"kind": "table", "spec": ...}` or `{"kind": "python", "source": ...}`.
            name: The tool.
            arguments: Arguments that fit its schema.

        Raises:
            ToolRefusal: If it fails, with the status of the failure; the message repeats no argument.
            UsageError: If the source needs an executor that is not installed.
        """
        if implementation["kind"] == "table":
            return run_table(implementation["spec"], arguments)
        result = self._program(implementation["source"]).call(name, arguments)
        if result.ok:
            return result.value()
        raise ToolRefusal(_FAILURES[result.status], status=result.status)

    def call_as_published(self, implementations: Mapping[str, Any], name: Json, arguments: str) -> tuple[ToolStatus, str]:
        """Return status and text of a call as the published scorer makes it.

        Args:
            implementations: Implementation by tool.
            name: What the agent wrote as the name, any JSON value.
            arguments: The arguments as JSON text, anything at all.

        Raises:
            UsageError: If the source needs an executor that is not installed.
        """
        try:
            values = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            return "invalid_arguments", ERROR.format(name=name, text=error)
        if not isinstance(name, str) or name not in implementations:
            reason = repr(name) if _is_hashable(name) else f"unhashable type: {type(name).__name__!r}"
            return "unknown_tool", ERROR.format(name=name, text=reason)
        implementation = implementations[name]
        if implementation["kind"] == "table":
            return self._table_as_published(implementation["spec"], name, values)
        status, text = self._source_as_published(implementation["source"], name, values)
        return status, text if status == "ok" else ERROR.format(name=name, text=text)

    def close(self) -> None:
        """End all workers."""
        self._programs.clear()
        self.sandbox.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the programs behind."""
        return {"sandbox": self.sandbox}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the settings."""
        self.sandbox = state["sandbox"]
        self._programs = OrderedDict()

    def _program(self, source: str) -> Program:
        """Return the program of a source, loaded when it is first needed."""
        program = self._programs.get(source)
        if program is None:
            program = self._programs[source] = self.sandbox.load(source)
            if len(self._programs) > MAX_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(source)
        return program

    def _table_as_published(self, spec: Mapping[str, Any], name: str, values: Json) -> tuple[ToolStatus, str]:
        """Call a table with arguments that nobody has checked."""
        if not isinstance(values, dict):
            kind = type(values).__name__
            return "error", ERROR.format(name=name, text=f"{name}() argument after ** must be a mapping, not {kind}")
        result = run_table(spec, values)
        return ("error" if "status" in result else "ok"), json.dumps(result, ensure_ascii=False)

    def _source_as_published(self, source: str, name: str, values: Json) -> tuple[ToolStatus, str]:
        """Call a function of a source in a namespace of its own."""
        exact = "type(value) == dict or type(value) == list"
        is_plain = exact if _OWN_TYPES.search(source) else "isinstance(value, (dict, list))"
        whole = source + _DRIVER.replace("NAME", name).replace("IS_PLAIN", is_plain)
        facts = read_source(whole) if name.isidentifier() else read_source(source)
        if facts is None:
            return "error", _syntax_error(source)
        if name not in facts.names or not name.isidentifier():
            return "error", f"name {name} is not defined"
        result = self._program(whole).call(_ENTRY, {"text": json.dumps(values)})  # escapes half surrogate pairs
        if result.ok:
            is_right, text = result.value()
            return ("ok" if is_right else "error"), text
        if result.status == "timeout":  # the words of the decorator that the scorer times with: they hold the whole source
            timed = f"(args={(name, values, source)!r}) (kwargs={{}})"
            return "timeout", f"Function call_function {timed} timed out after {PUBLISHED_TIMEOUT_S:f} seconds.\n"
        if result.status == "error":  # raised while the source was loaded
            return "error", result.detail or result.content
        return result.status, result.content


def published_runner(executor: str = "auto") -> Runner:
    """Return a runner with the limits of the published scorer."""
    return Runner(executor, timeout_s=PUBLISHED_TIMEOUT_S, output_chars=PUBLISHED_OUTPUT_CHARS)


def _is_hashable(name: Json) -> bool:
    """Whether a name could be looked up at all."""
    return not isinstance(name, (dict, list))


def _syntax_error(source: str) -> str:
    """Return the words of the compiler; nothing of the source runs."""
    try:
        compile(source, "<string>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error)
    return "the source is too long"


__all__ = ["ERROR", "PUBLISHED_TIMEOUT_S", "Runner", "published_runner"]
