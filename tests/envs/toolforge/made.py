"""Small instances for the tests: two chained look-ups and a parallel question, as tables of plain data and as Python."""

from typing import Any

from palaestra.envs.toolforge.instance import Instance


def tool(name: str, *required: str, **properties: Any) -> dict[str, Any]:
    """Return a function schema whose parameters are texts unless told otherwise."""
    parts = {one: {"type": "string", "description": f"the {one}"} for one in required} | properties
    parameters = {"type": "object", "properties": parts, "required": list(required), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"Look up {name}.", "parameters": parameters}}


def source(name: str, argument: str, field: str, rows: dict[str, Any]) -> str:
    """Return Python source of a look-up."""
    return (
        f"def {name}({argument}, unit=None):\n"
        f"    rows = {rows!r}\n"
        f"    key = ' '.join(str({argument}).lower().split())\n"
        "    if key not in rows:\n"
        "        return {'status': 'not_found'}\n"
        f"    return {{{field!r}: rows[key], 'source': 'register'}}\n"
    )


def node(name: str, tool_name: str, deps: list[str], answer: Any, kind: str, path: str | None, **arguments: Any) -> Any:
    """Return a node as JSON data."""
    return {
        "id": name,
        "text": f"part {name}",
        "tool": tool_name,
        "deps": deps,
        "answer": answer,
        "answer_type": kind,
        "path": path,
        "golden_args": arguments,
    }


def chain(key: str = "made-1", **changes: Any) -> dict[str, Any]:
    """Return a chain of two nodes as JSON data: the founder of a company, then the year of the founder's birth."""
    rows = ({"velmora": "Iska Tarn", "odrin": "Pell Quist"}, {"iska tarn": 1931, "pell quist": 1948})
    value = {
        "format": "toolenv/1",
        "id": key,
        "source": "procedural",
        "seed": 7,
        "builder_version": "test",
        "scenario": "multi_hop",
        "question": 'In which year was the founder of "Velmora" born?',
        "messages": [{"role": "user", "content": 'In which year was the founder of "Velmora" born?'}],
        "tools": [tool("founder_of", "company", unit={"type": "string"}), tool("born_in", "person"), tool("sunk_in", "ship")],
        "impl": {
            "founder_of": {"kind": "python", "source": source("founder_of", "company", "founder", rows[0])},
            "born_in": {"kind": "python", "source": source("born_in", "person", "year", rows[1])},
            "sunk_in": {"kind": "python", "source": source("sunk_in", "ship", "year", {"alwina": 1801})},
        },
        "nodes": [
            node("n1", "founder_of", [], "Iska Tarn", "entity", "founder", company="Velmora"),
            node("n2", "born_in", ["n1"], 1931, "int", "year", person="Iska Tarn"),
        ],
        "final": {"answer": 1931, "answer_type": "int", "op": None},
        "difficulty": {"nodes": 2, "depth": 2, "width": 1, "n_tools": 3, "n_distractors": 1, "levels": {}},
        "meta": {"split": "train"},
    }
    return value | changes


def parallel(key: str = "made-2", **changes: Any) -> dict[str, Any]:
    """Return two questions side by side that share a tool."""
    rows = {"velmora": "Iska Tarn", "odrin": "Pell Quist"}
    value = chain(
        key,
        scenario="parallel_single_hop",
        question='Who founded "Velmora", and who founded "Odrin"?',
        messages=[{"role": "user", "content": 'Who founded "Velmora", and who founded "Odrin"?'}],
        nodes=[
            node("n1", "founder_of", [], "Iska Tarn", "entity", "founder", company="Velmora"),
            node("n2", "founder_of", [], "Pell Quist", "entity", "founder", company="Odrin"),
        ],
        final={"answer": ["Iska Tarn", "Pell Quist"], "answer_type": "list", "op": {"kind": "list", "over": ["n1", "n2"]}},
    )
    value["impl"]["founder_of"]["source"] = source("founder_of", "company", "founder", rows)
    return value | changes


def made(value: dict[str, Any]) -> Instance:
    """Return the instance of JSON data."""
    return Instance.of(value)
