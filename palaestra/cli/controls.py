"""Control characters in texts that others wrote: shown, never obeyed."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
# overrides, embeddings and isolates of the writing direction: they would show what follows in another order
_CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Return a text with its control characters escaped: its writer must not steer the terminal.

    Args:
        text: Anything that comes from environments, models or files; lines and tabs stay.
    """
    return text.translate(_CONTROLS)


__all__ = ["printable"]
