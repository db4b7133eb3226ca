"""Stage 4: tools become harder to use, in four dimensions of 0 to 3.

`function`: tools cover one relation, or 2, 3 or 5 through a required `attribute`. `params`: 0, 2, 4 or 7 optional parameters.
`types`: closed texts become enums, then lists, then nested objects. `toolset`: tools that no part needs; from level 2 on one
of them is an old version of a needed tool, which says that it is deprecated, and others tell other things of the same type.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1, complexity scaling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from palaestra.envs.toolforge.stages.catalogue import Relation, catalogue
from palaestra.envs.toolforge.stages.document import VERBS, Document, Key, look_up_document, unique
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.names import Reject
from palaestra.envs.toolforge.stages.options import draw_options
from palaestra.envs.toolforge.stages.presets import Preset

WIDTHS = (1, 2, 3, 5)
OPTIONAL = (0, 2, 4, 7)
_GROUPS = ("records", "facts", "profile", "data", "details", "entries")
_FORMS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("text", 1),),
    (("text", 1),),
    (("text", 85), ("list", 15)),
    (("text", 81), ("object", 12), ("list", 7)),
)


def scale(draw: Draw, documents: Sequence[Document], levels: Mapping[str, int], preset: Preset) -> list[Document]:
    """Return the documents at their levels, with distractors, in a drawn order.

    Args:
        draw: Chance.
        documents: The tools that are needed.
        levels: Level of each of the four dimensions.
        preset: Relations in use, number of distractors, plain or not.

    Raises:
        Reject: If there are not enough relations for so many tools.
    """
    width = WIDTHS[levels["function"]]
    asked = {relation.name for document in documents for relation in document.relations}
    known = [catalogue().relations[name] for name in preset.relations] or list(catalogue().relations.values())
    spare = draw.shuffled([relation for relation in known if relation.name not in asked])
    needed = _widened(draw, documents, spare, width)
    distractors = _distractors(draw, needed, spare, width, levels["toolset"], preset)
    scaled = [_with_parameters(draw, document, levels) for document in [*needed, *distractors]]
    if levels["toolset"] >= 2 and (
        models := [document for document in scaled if document.parts and document.does == "look_up"]
    ):
        model = draw.one(models)
        scaled.append(replace(model, name=f"{model.name}_v1", parts=(), replaced_by=model.name))
    return draw.shuffled(scaled)


def _widened(draw: Draw, documents: Sequence[Document], spare: list[Relation], width: int) -> list[Document]:
    """Merge tools for the same type of thing, and let them cover relations that nobody asks for; takes those from `spare`."""
    groups: list[list[Document]] = []
    for document in documents:
        mate = next((group for group in groups if len(group) < width and _can_join(group[0], document)), None)
        if mate is None:
            groups.append([document])
        else:
            mate.append(document)
    taken: set[str] = {document.name for document in documents}
    return [_grouped(draw, group, spare, width, taken) for group in groups]


def _can_join(one: Document, other: Document) -> bool:
    """Whether two tools look up one thing of the same type."""
    both = (one, other)
    return all(document.does == "look_up" and len(document.keys) == 1 for document in both) and one.keys == other.keys


def _grouped(draw: Draw, group: Sequence[Document], spare: list[Relation], width: int, taken: set[str]) -> Document:
    """Return one tool for a group of tools."""
    first = group[0]
    if width == 1 or first.does != "look_up" or len(first.keys) > 1:
        return first
    relations = [relation for document in group for relation in document.relations]
    for relation in [one for one in spare if one.sources == (first.keys[0].type,)][: width - len(relations)]:
        spare.remove(relation)
        relations.append(relation)
    if len(relations) == 1:
        return first
    name = unique(f"{draw.one(VERBS)}_{first.keys[0].type}_{draw.one(_GROUPS)}", taken)
    parts = tuple(part for document in group for part in document.parts)
    return replace(first, name=name, relations=tuple(sorted(relations, key=lambda one: one.name)), parts=parts)


def _distractors(
    draw: Draw, needed: Sequence[Document], spare: list[Relation], width: int, level: int, preset: Preset
) -> list[Document]:
    """Return tools that no part needs."""
    count = preset.distractors[level] - (1 if level >= 2 else 0)
    taken = {document.name for document in needed}
    near = {document.keys[0].type for document in needed if document.keys}
    found: list[Document] = []
    while len(found) < count:
        if not spare:
            raise Reject("there are not enough relations for so many tools")
        is_near = level >= 2 and len(found) % 2 == 0
        relation = next((one for one in spare if (one.sources[0] in near) == is_near), spare[0])
        spare.remove(relation)
        document = look_up_document(draw, relation, taken, is_plain=preset.is_plain)
        reserve = len(spare) - (count - len(found) - 1)
        found.append(_grouped(draw, [document], spare, max(1, min(width, 1 + reserve)), taken))
    return found


def _with_parameters(draw: Draw, document: Document, levels: Mapping[str, int]) -> Document:
    """Return a tool with optional parameters, and with keys in other forms."""
    if document.does != "look_up":
        return document
    types, keys = levels["types"], document.keys
    if len(keys) == 1:
        form = draw.weighted(_FORMS[types])
        keys = (replace(keys[0], form=form, parameter=f"{keys[0].parameter}_names" if form == "list" else keys[0].parameter),)
    elif types >= 2 and draw.chance(0.5):
        keys = (Key("pair", keys[0].type, "pair"),)
    options = draw_options(draw, document.relations, OPTIONAL[levels["params"]], types)
    return replace(document, keys=keys, options=options, types=types)


__all__ = ["OPTIONAL", "WIDTHS", "scale"]
