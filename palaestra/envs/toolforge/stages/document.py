"""Stage 2: a tool document for each part, as if every part were asked alone.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1, document generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from palaestra.envs.toolforge.stages.catalogue import Relation, catalogue
from palaestra.envs.toolforge.stages.decompose import PAIRWISE, Part, Plan, Thing
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.options import all_options
from palaestra.types import Json

VERBS = ("get", "find", "look_up", "fetch", "query")
OPERATIONS = ("sum", "difference", "product", "ratio", "largest", "smallest")


@dataclass(frozen=True)
class Key:
    """A parameter that names what is looked up.

    Attributes:
        parameter: Its name.
        type: Type of the thing.
        form: "text" (its name), "object" (holds the name), "list" (names to try in order), "pair" (two names).
    """

    parameter: str
    type: str
    form: str = "text"


@dataclass(frozen=True)
class Document:
    """A tool before it has an implementation.

    Attributes:
        name: Its name.
        does: "look_up", "calculate" or "count_days", as of `tables`.
        relations: Relations that it looks up; with more than one, the parameter `attribute` chooses.
        keys: Parameters that name the things.
        options: Names of its optional parameters.
        parts: Ids of the parts that it answers.
        types: Level of the types of its parameters.
        replaced_by: Name of another tool, if this one is deprecated.
    """

    name: str
    does: str
    relations: tuple[Relation, ...] = ()
    keys: tuple[Key, ...] = ()
    options: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    types: int = 0
    replaced_by: str = ""

    @property
    def has_attribute(self) -> bool:
        """Whether a parameter chooses between its relations."""
        return len(self.relations) > 1

    def field(self, part: Part) -> str:
        """Return the field of a result that answers a part."""
        if part.relation is not None:
            return part.relation.name
        return "days" if self.does == "count_days" else "result"


def write_documents(draw: Draw, plan: Plan, *, is_plain: bool) -> list[Document]:
    """Return a document for each part of a question, in their order."""
    taken: set[str] = set()
    return [_document(draw, part, taken, is_plain) for part in plan.parts]


def look_up_document(draw: Draw, relation: Relation, taken: set[str], *, is_plain: bool) -> Document:
    """Return the document of a tool that looks up one relation.

    Args:
        draw: Chance.
        relation: The relation.
        taken: Names of other tools; its own is added.
        is_plain: Give the tool the name of the relation, and its parameter the name "of".
    """
    name = relation.name if is_plain else f"{draw.one(VERBS)}_{relation.name}"
    if relation.is_binary:
        keys = tuple(
            Key(f"{place}_{type_}", type_) for place, type_ in zip(("first", "second"), relation.sources, strict=True)
        )
    else:
        keys = (Key("of" if is_plain else relation.sources[0], relation.sources[0]),)
    return Document(unique(name, taken), "look_up", (relation,), keys)


def unique(name: str, taken: set[str]) -> str:
    """Return a name with a number if it is taken, and take it."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def schema_of(document: Document) -> dict[str, Json]:
    """Return the OpenAI function schema of a document."""
    properties: dict[str, Json] = {}
    required: list[Json] = []
    if document.does == "calculate":
        operation: dict[str, Json] = {"type": "string", "enum": list(OPERATIONS), "description": "What to compute."}
        numbers: dict[str, Json] = {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 1,
            "description": "The numbers, in order.",
        }
        places: dict[str, Json] = {
            "type": "integer",
            "minimum": 0,
            "maximum": 6,
            "description": "Most decimals.",
            "default": 6,
        }
        properties, required = {"operation": operation, "values": numbers, "decimals": places}, ["operation", "values"]
    elif document.does == "count_days":
        for name in ("first", "second"):
            properties[name] = {"type": "string", "description": f"The {name} day, as YYYY-MM-DD."}
        inclusive = {"type": "boolean", "description": "Whether both days count.", "default": False}
        properties, required = {**properties, "inclusive": inclusive}, ["first", "second"]
    else:
        for key in document.keys:
            properties[key.parameter] = _key_schema(key)
        if document.has_attribute:
            names: list[Json] = [relation.name for relation in document.relations]
            properties["attribute"] = {"type": "string", "enum": names, "description": "What to look up."}
        required = list(properties)
        for name in document.options:
            properties[name] = all_options()[name].schema(document.relations[0], document.types)
    parameters: Json = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    function: Json = {"name": document.name, "description": _description(document), "parameters": parameters}
    return {"type": "function", "function": function}


def golden_arguments(document: Document, part: Part, value: Callable[[Thing | str], Json]) -> dict[str, Json]:
    """Return the arguments of the call that answers a part.

    Args:
        document: The tool.
        part: The part.
        value: Returns the value of a thing or of the answer of another part.
    """
    given: list[Json] = [value(arg) for arg in part.args]
    if document.does == "calculate":
        return {"operation": part.operation, "values": given}
    if document.does == "count_days":
        return {"first": given[0], "second": given[1]}
    arguments: dict[str, Json] = {}
    if document.keys[0].form == "pair":
        arguments[document.keys[0].parameter] = given
    else:
        for key, name in zip(document.keys, given, strict=True):
            arguments[key.parameter] = {"text": name, "object": {"name": name}, "list": [name]}[key.form]
    if document.has_attribute and part.relation is not None:
        arguments["attribute"] = part.relation.name
    return arguments


def home_of(documents: Sequence[Document]) -> dict[str, Document]:
    """Return the document that answers each part, by the part's id."""
    return {part: document for document in documents for part in document.parts}


def _document(draw: Draw, part: Part, taken: set[str], is_plain: bool) -> Document:
    """Return the document of one part."""
    if part.relation is not None:
        return replace(look_up_document(draw, part.relation, taken, is_plain=is_plain), parts=(part.id,))
    does = "count_days" if part.operation == "days" else "calculate"
    assert does == "calculate" or part.operation in PAIRWISE
    return Document(unique("count_days" if does == "count_days" else "compute_number", taken), does, parts=(part.id,))


def _key_schema(key: Key) -> dict[str, Json]:
    """Return the schema of a key."""
    name: dict[str, Json] = {"type": "string", "description": f"Name of the {key.type}."}
    if key.form == "object":
        inner: dict[str, Json] = {
            "type": "object",
            "properties": {"name": name},
            "required": ["name"],
            "additionalProperties": False,
        }
        return {**inner, "description": f"The {key.type}."}
    if key.form == "list":
        return {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": 5,
            "description": f"Names of the {key.type}, tried in this order until there is a record.",
        }
    if key.form == "pair":
        many = "The names of both, in any order."
        return {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2, "description": many}
    return name


def _description(document: Document) -> str:
    """Return the description of a tool."""
    if document.does == "calculate":
        return "Computes a number from numbers: their sum, product, largest or smallest, the difference or the ratio of two."
    if document.does == "count_days":
        return "Counts the days between two dates."
    if not document.has_attribute:
        return f"Tells {document.relations[0].gives}."
    parts = "; ".join(f"{relation.name}: {relation.gives}" for relation in document.relations)
    noun = catalogue().labels[document.keys[0].type][0]
    return f"Looks up one attribute of a {noun}. {parts}."


__all__ = [
    "OPERATIONS",
    "VERBS",
    "Document",
    "Key",
    "golden_arguments",
    "home_of",
    "look_up_document",
    "schema_of",
    "unique",
    "write_documents",
]
