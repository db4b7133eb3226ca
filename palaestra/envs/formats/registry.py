"""The text forms of actions by name."""

from __future__ import annotations

from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.hermes_format import HermesFormat
from palaestra.envs.formats.json_call import JsonCallFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.python_call import PythonCallFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import unknown_name

ACTION_FORMATS: dict[str, ActionFormat] = {
    form.name: form for form in (PlainFormat(), ReActFormat(), HermesFormat(), JsonCallFormat(), PythonCallFormat())
}


def action_format(name: str | ActionFormat) -> ActionFormat:
    """Return a text form by name; an `ActionFormat` passes through.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    if isinstance(name, ActionFormat):
        return name
    if name not in ACTION_FORMATS:
        raise unknown_name("action format", name, ACTION_FORMATS)
    return ACTION_FORMATS[name]


__all__ = ["ACTION_FORMATS", "action_format"]
