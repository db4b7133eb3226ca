"""Text forms of tool calls, both ways; used by environments and by agents."""

from palaestra.envs.formats.hermes import format_message, parse_message

__all__ = ["format_message", "parse_message"]
