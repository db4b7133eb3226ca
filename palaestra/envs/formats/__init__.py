"""Text forms of what an agent does, both ways; used by environments and by agents.

`parse_message` and `format_message` are the canonical form, Hermes tags. `ACTION_FORMATS` has all forms by name: a new one is
a subclass of `ActionFormat` in a file of its own and one entry in `registry`. Nothing that is read is ever evaluated.
"""

from palaestra.envs.formats.action_format import ActionFormat, ActionFormatError
from palaestra.envs.formats.hermes import format_message, parse_message
from palaestra.envs.formats.registry import ACTION_FORMATS, action_format

__all__ = ["ACTION_FORMATS", "ActionFormat", "ActionFormatError", "action_format", "format_message", "parse_message"]
