"""How far each layer and module of a policy moved from its clone: norm of the difference over the norm of what was there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LAYER = re.compile(r"(?:.*\.)?layers\.(\d+)\.(.+)\.weight")


def changes(clone: str | Path, policy: str | Path) -> dict[str, dict[str, float]]:
    """Return relative changes by layer and module.

    Args:
        clone: Folder of the weights that training started from.
        policy: Folder of those that it ended with.

    Returns:
        By layer ("0", "1", ... and "outside" for embeddings, the last norm and the head), by module: the Frobenius norm of the
        difference over that of the clone's weights.

    Raises:
        ValueError: If the two do not have the same parameters.
    """
    before, after = _weights(clone), _weights(policy)
    if before.keys() != after.keys():
        raise ValueError(
            f"The policies differ in {sorted(before.keys() ^ after.keys())[:3]}; compare a policy with its own clone."
        )
    found: dict[str, dict[str, float]] = {}
    for name in sorted(before):
        match = _LAYER.fullmatch(name)
        layer, module = (match[1], match[2]) if match else ("outside", name.removeprefix("model.").removesuffix(".weight"))
        size = float(before[name].float().norm())
        moved = float((after[name].float() - before[name].float()).norm())
        found.setdefault(layer, {})[module] = round(moved / size, 5) if size else moved
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table: modules down, arms across, the mean over seeds.

    Args:
        rows: Lines with `arm`, `seed` and `changes`.
    """
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    lines = [f"| layer | module | {' | '.join(arms)} |", "|---|---|" + "---:|" * len(arms)]
    for layer, modules in rows[0]["changes"].items() if rows else ():
        for module in modules:
            cells = []
            for arm in arms:
                values = [row["changes"][layer][module] for row in rows if row["arm"] == arm]
                cells.append(f"{100 * sum(values) / len(values):.1f} %")
            lines.append(f"| {layer} | {module} | {' | '.join(cells)} |")
    return lines


def _weights(folder: str | Path) -> dict[str, Any]:
    """Return the weights of a folder by name."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        found |= load_file(file)
    return found
