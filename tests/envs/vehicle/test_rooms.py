"""Imports between the folders of VehicleWorld run one way, and no two of its modules import each other in a circle."""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from palaestra.envs import vehicle
from tests.test_imports import imported

PACKAGE = Path(vehicle.__file__).parent
NAME = vehicle.__name__
MODULES = {
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAY_IMPORT = {
    "car": set(),
    "calls": {"car"},
    "writes": {"car", "calls"},
    "requests": {"car", "calls"},
    "published": {"car", "calls", "requests"},
    "render": {"car"},
}


def imports_of(module: str, source: str) -> set[str]:
    """Return the modules of VehicleWorld that a source imports."""
    found = set()
    for _, name in imported(source):
        while name not in MODULES and "." in name:
            name = name.rpartition(".")[0]
        if name.startswith(NAME) and name != module:
            found.add(name)
    return found


def room_of(module: str) -> str:
    """Return the folder that a module belongs to; empty for the faces on top."""
    parts = module.removeprefix(NAME).split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else ""


def arrows_back(module: str, source: str) -> list[str]:
    """Return the imports that a module of a folder may not make."""
    room = room_of(module)
    if room not in MAY_IMPORT:
        return []
    return sorted(name for name in imports_of(module, source) if room_of(name) not in MAY_IMPORT[room] | {room})


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) in MAY_IMPORT])
def test_no_import_between_the_folders_runs_back(module: str) -> None:
    assert arrows_back(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("car.views", "from palaestra.envs.vehicle.calls.schemas import api_text"),
        ("calls.language", "from palaestra.envs.vehicle.world import VehicleWorld"),
        ("requests.gold", "def f():\n    from palaestra.envs.vehicle.published.scoring import Scope"),
        ("render.picture", "from palaestra.envs.vehicle import env"),
    ],
)
def test_an_import_that_runs_back_is_noticed(module: str, source: str) -> None:
    assert len(arrows_back(f"{NAME}.{module}", source)) == 1


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports_of(module, path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()
    graph[f"{NAME}.experts"].add(f"{NAME}.env")
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()
