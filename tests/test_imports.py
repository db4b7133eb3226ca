"""Imports run one way: media, types, spaces, errors <- envs <- agents <- algorithms; models alone; cli on top."""

import ast
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import palaestra

PACKAGE = Path(palaestra.__file__).parent

MAY_IMPORT = {
    "__init__": {"envs", "agents", "algorithms", "lazy"},
    "errors": set(),
    "lazy": {"errors"},
    "media": {"errors", "lazy"},
    "types": {"errors", "media"},
    "spaces": {"errors", "media", "types"},
    "results": {"errors", "types"},
    "envs": {"errors", "lazy", "media", "types", "spaces", "results"},
    "agents": {"errors", "lazy", "media", "types", "spaces", "results", "envs"},
    "models": {"errors", "lazy"},
    "algorithms": {"errors", "lazy", "types", "spaces", "results", "envs", "agents", "models"},
    "cli": {"errors", "media", "types", "spaces", "results", "envs", "agents", "models", "algorithms"},
}
INSIDE = {
    "algorithms": {
        "config": set(),
        "math": {"config"},
        "data": {"config", "math"},
        "scale": {"config", "math"},
        "learner": {"config", "math", "scale"},
        "run": {"config", "math", "data", "scale", "learner"},
        "trl": {"config", "math", "data", "learner", "run"},
        "": {"config", "math", "data", "scale", "learner", "run", "trl", ""},
    },
}
"""Rooms of a part, and what each may import of the others; "" is every module that stands beside them."""

HEAVY = (
    *("torch", "transformers", "tokenizers", "accelerate", "datasets", "trl", "tensorboard", "matplotlib"),
    *("pydantic", "openai", "aiohttp", "httpx", "tenacity", "rich", "typer", "jinja2", "pettingzoo", "sqlite3"),
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str, package: str = "palaestra") -> list[tuple[int, str]]:
    """Return line and dotted name of everything of ours that a source imports, at any depth of its code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            first = node.args[0]
            if isinstance(first, ast.JoinedStr):
                first = first.values[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.append((node.lineno, first.value))
    return [(line, name) for line, name in found if name.split(".")[0] == package]


def arrows_back(source: str, part: str) -> list[str]:
    """Return the imports that a part of the package may not make."""
    wrong = []
    for line, name in imported(source):
        target = name.split(".")[1] if "." in name else "(the package itself)"
        if target != part and target not in MAY_IMPORT[part]:
            wrong.append(f"line {line}: {part} imports {name}")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_no_import_runs_back(path):
    assert arrows_back(path.read_text(encoding="utf-8"), part_of(path)) == []


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("from palaestra.agents.core import Agent", "envs"),
        ("def f():\n    import palaestra.algorithms.grpo", "agents"),
        ("import palaestra", "envs"),
        ("from palaestra import list_envs", "cli"),
        ("from palaestra.envs import core", "types"),
        ("from palaestra.types import Step", "models"),
        ("from importlib import import_module\nimport_module('palaestra.cli.main')", "algorithms"),
        ("from importlib import import_module\nimport_module(f'palaestra.agents.{name}')", "envs"),
    ],
)
def test_an_arrow_that_runs_back_is_noticed(source, part):
    assert len(arrows_back(source, part)) == 1


def arrows_back_inside(source: str, part: str, room: str) -> list[str]:
    """Return the imports that a room of a part may not make of another room of it."""
    wrong = []
    for line, name in imported(source):
        if name.startswith(f"palaestra.{part}."):
            target = name.split(".")[2]
            target = target if target in INSIDE[part] else ""
            if target != room and target not in INSIDE[part][room]:
                wrong.append(f"line {line}: {part}/{room or '*'} imports {name}")
    return wrong


def room_of(path: Path) -> str:
    """Return the room of its part that a file belongs to."""
    name = path.relative_to(PACKAGE).parts[1].removesuffix(".py")
    return name if name in INSIDE[part_of(path)] else ""


ROOMS = [path for path in MODULES if part_of(path) in INSIDE and path.relative_to(PACKAGE).parts[1] != "__init__.py"]


@pytest.mark.parametrize("path", ROOMS, ids=[str(path.relative_to(PACKAGE)) for path in ROOMS])
def test_no_import_between_rooms_runs_back(path):
    assert arrows_back_inside(path.read_text(encoding="utf-8"), part_of(path), room_of(path)) == []


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("from palaestra.algorithms.run.phase import Phase", "learner"),
        ("def f():\n    from palaestra.algorithms.learner.policy import Policy", "scale"),
        ("from palaestra.algorithms.grpo import GRPOConfig", "run"),
        ("from palaestra.algorithms import train", "math"),
    ],
)
def test_an_arrow_that_runs_back_between_rooms_is_noticed(source, room):
    assert len(arrows_back_inside(source, "algorithms", room)) == 1


SETTINGS = sorted(
    {
        gymnasium.spec(env_id).entry_point.partition(":")[0].rpartition(".")[0]
        for env_id in palaestra.list_envs()
        if str(gymnasium.spec(env_id).entry_point).startswith("palaestra.envs.")
    }
)


def settings_named(source: str, stem: str) -> list[str]:
    """Return what a module of agents, algorithms or cli names of single settings, by import or in a text.

    Args:
        source: The module.
        stem: Its name; `cli/vehicle.py` and `agents/around/vehicle.py` may name the setting "vehicle".
    """
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    names = [name for _, name in imported(source)] + [text for text in texts if isinstance(text, str)]
    others = [setting for setting in SETTINGS if stem not in setting.split(".")]
    return [f"{name!r} names {setting}" for name in names for setting in others if setting in name]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if part_of(path) in ("agents", "algorithms", "cli")], ids=lambda path: path.stem
)
def test_agents_algorithms_and_commands_know_no_single_setting(path):
    assert settings_named(path.read_text(encoding="utf-8"), path.stem) == []


@pytest.mark.parametrize(
    ("source", "stem", "count"),
    [
        ("from palaestra.envs.vehicle.results.tables import vehicle_results", "report", 1),
        ("RESULTS = {'palaestra/X-v0': 'palaestra.envs.agentgym.textcraft.results:tables'}", "report", 1),
        ("def f():\n    import palaestra.envs.desk.env", "desks", 1),
        ("def f():\n    import palaestra.envs.desk.env", "desk", 0),
        ("from palaestra.envs.core.text_env import TextEnv", "report", 0),
    ],
)
def test_a_setting_that_is_named_is_noticed(source, stem, count):
    assert len(SETTINGS) > 2
    assert len(settings_named(source, stem)) == count


def test_every_part_of_the_package_has_its_place():
    assert {part_of(path) for path in MODULES} == set(MAY_IMPORT)


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a statement loads in a fresh process."""
    program = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import palaestra",
        "import palaestra.envs.core.text_env, palaestra.envs.wrappers, palaestra.envs.core.vector, palaestra.envs.check",
        "import palaestra, gymnasium; gymnasium.make('palaestra/TextCraft-v0').reset(seed=0)",
        "import palaestra.agents.core",
    ],
)
def test_light_imports_load_nothing_heavy(statement):
    assert loaded_after(statement) & set(HEAVY) == set()


def test_importing_the_package_loads_no_environment():
    program = "import sys, palaestra; print(*(name for name in sys.modules if name.startswith('palaestra')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "palaestra",
        "palaestra.envs",
        "palaestra.envs.registration",
        "palaestra.errors",
        "palaestra.lazy",
    }


def test_files_stay_short_enough_to_read():
    long = {str(path.relative_to(PACKAGE)): n for path in MODULES if (n := len(path.read_text("utf-8").splitlines())) > 700}
    assert long == {}
