"""Code in a message: the fenced blocks of Markdown, as models write them."""

from __future__ import annotations

import re
import textwrap

PYTHON = frozenset({"", "py", "py3", "python", "python3", "ipython", "tool_code"})
WRITABLE = PYTHON | {"json", "jsonc"}

# every repetition is bounded, so that a line of any length is searched in linear time
_OPENING = re.compile(r"(`{3,9}|~{3,9})[ \t]{0,8}([\w+#.-]{0,20})[ \t]{0,8}$")
_WITH_ATTRIBUTES = re.compile(r"\s{0,8}(`{3,9}|~{3,9})[ \t]{0,8}\{?\.?([\w+#-]{1,20})[ \t,:;{}.][^`\n]{0,200}\Z")
_ONE_LINE = re.compile(r"(`{3,9}|~{3,9})(?:(python3?|py|json)[ \t]{1,8})?([^`~\n]+)\1")


def extract_code(message: str, languages: frozenset[str] = PYTHON) -> str:
    """Return the fenced code of a message, all blocks joined; "" if there is none.

    Fences are three or more backticks or tildes, at the start or at the end of a line; a block that is never closed
    goes to the end of the message.

    Args:
        message: What a model wrote.
        languages: Words after the fence, in lower case, whose blocks count; "" is a fence without a word.
    """
    return "\n".join(code for language, code in fenced_blocks(message) if language in languages)


def fenced_blocks(message: str) -> list[tuple[str, str]]:
    """Return every fenced block as (language in lower case, code without common indentation)."""
    blocks: list[tuple[str, str]] = []
    fence, language, lines = "", "", [""]
    for line in message.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not fence:
            if "```" not in line and "~~~" not in line:  # nearly always
                continue
            rest: list[str] = []
            end = 0
            for found in _ONE_LINE.finditer(line):
                blocks.append((found[2] or "", found[3].strip()))
                rest.append(line[end : found.start()])
                end = found.end()
            if opening := _OPENING.search("".join(rest) + line[end:]) or _WITH_ATTRIBUTES.match(line):
                fence, language, lines = opening[1], opening[2].lower(), []
        elif line.strip().startswith(fence):
            blocks.append((language, textwrap.dedent("\n".join(lines))))
            fence = ""
        elif line.rstrip().endswith(fence):
            lines.append(line.rstrip()[: -len(fence)])
            blocks.append((language, textwrap.dedent("\n".join(lines))))
            fence = ""
        else:
            lines.append(line)
    if fence:
        blocks.append((language, textwrap.dedent("\n".join(lines))))
    return blocks
