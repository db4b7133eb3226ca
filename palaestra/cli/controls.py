"""Control characters in texts that others wrote: shown, never obeyed."""

from palaestra.types.direction import with_direction_shown

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """Return a text with its control characters escaped: its writer must not steer the terminal.

    Args:
        text: Anything that comes from environments, models or files; lines and tabs stay.
    """
    return with_direction_shown(text.translate(_CONTROLS))


__all__ = ["printable"]
