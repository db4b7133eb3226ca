"""Stage 3: parts that ask the same of different things share a tool, so that m <= n tools answer n parts.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1, function integration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palaestra.envs.toolforge.stages.document import Document


def integrate(documents: Sequence[Document]) -> list[Document]:
    """Return the documents with those of equal meaning merged into the first of them.

    Args:
        documents: One for each part.
    """
    merged: dict[tuple[object, ...], Document] = {}
    for document in documents:
        same = (document.does, document.relations)
        first = merged.get(same)
        merged[same] = document if first is None else replace(first, parts=(*first.parts, *document.parts))
    return list(merged.values())


__all__ = ["integrate"]
