"""Packages that tests install without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.cli.init import Kind

MADE = {Kind.ENV: "number-guess", Kind.AGENT: "last-line", Kind.ALGORITHM: "reinforce", Kind.BACKEND: "plain-server"}
"""Packages that `palaestra init` writes for the tests, by kind."""


def write_metadata(site: Path, project: Mapping[str, Any]) -> None:
    """Write into `site` what an installation leaves there of a project: its name, version and entry points.

    Args:
        site: A folder of the path.
        project: The table `[project]` of its pyproject.toml.
    """
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = {
        f"[{group}]": [f"{name} = {target}" for name, target in points.items()]
        for group, points in project["entry-points"].items()
    }
    (info / "entry_points.txt").write_text("\n".join(line for group, lines in groups.items() for line in (group, *lines)))
