"""Imports run one way: media, types, spaces, errors <- envs <- agents <- algorithms; models alone; cli on top.

The same holds between the rooms of a part; no setting imports another; no modules import one another in a circle.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import palaestra
from palaestra.envs.registration import conditions

PACKAGE = Path(palaestra.__file__).parent

MAY_IMPORT = {
    "__init__": {"envs", "agents", "algorithms", "lazy"},
    "errors": set(),
    "lazy": {"errors"},
    "media": {"errors", "lazy"},
    "types": {"errors", "media"},
    "spaces": {"errors", "media", "types"},
    "results": {"errors", "lazy", "types"},
    "envs": {"errors", "lazy", "media", "types", "spaces", "results"},
    "agents": {"errors", "lazy", "media", "types", "spaces", "results", "envs"},
    "models": {"errors", "lazy"},
    "algorithms": {"errors", "lazy", "types", "spaces", "results", "envs", "agents", "models"},
    "cli": {"errors", "lazy", "media", "types", "spaces", "results", "envs", "agents", "models", "algorithms"},
}
_BELOW_SETTINGS = {"formats", "tools", "core", "sandbox", "speech", "judging", "dialogue", "wrappers"}
INSIDE = {
    "envs": {
        "registration": set(),
        "formats": set(),
        "tools": {"formats"},
        "core": {"formats", "tools"},
        **{room: {"formats", "tools", "core"} for room in ("sandbox", "speech", "judging", "dialogue", "wrappers")},
        "multi_agent": {"core", "registration"},
        "check": {"formats", "tools", "core", "wrappers", "multi_agent", "registration"},
        "audit": {"formats", "tools", "core", "wrappers", "multi_agent", "registration", "check"},
        "serve": {"formats", "tools", "core", "wrappers", "multi_agent", "registration"},
        "remote": {"formats", "tools", "core", "wrappers", "registration"},
        "": {*_BELOW_SETTINGS, "registration"},  # the settings
    },
    "agents": {
        "": {""},
        "around": {""},
        "backends": {""},
        "registry": {"", "around", "backends"},
        "store": {""},
        "rollout": {"", "registry"},
        "export": {"", "backends", "rollout", "store"},
        "evaluation": {"", "registry", "rollout", "store"},
        "report": {"", "evaluation", "store"},
        "view": {"", "evaluation", "report", "store"},
    },
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
"""Rooms of a part, and what each may import of the others; "" is every module or folder that stands next to them.

From the ground up: formats, tools <- core <- sandbox, speech, judging, dialogue, wrappers <- settings; core (here "") <-
backends, rollout, store <- evaluation <- report <- view; math <- learner, data, scale <- run <- algorithms.
"""
ROOMS_TO_COME = {"speech", "dialogue", "serve", "remote", "around"}

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


def is_front(path: Path) -> bool:
    """Whether a file is the front door of its part, which exports what lies in the rooms."""
    return path.relative_to(PACKAGE).parts[1:] == ("__init__.py",)


ROOMS = [path for path in MODULES if part_of(path) in INSIDE and not is_front(path)]


@pytest.mark.parametrize("path", ROOMS, ids=[str(path.relative_to(PACKAGE)) for path in ROOMS])
def test_no_import_between_rooms_runs_back(path):
    assert arrows_back_inside(path.read_text(encoding="utf-8"), part_of(path), room_of(path)) == []


@pytest.mark.parametrize("part", INSIDE)
def test_every_room_is_there_or_to_come(part):
    rooms = {room_of(path) for path in ROOMS if part_of(path) == part}
    assert set(INSIDE[part]) - rooms <= ROOMS_TO_COME


@pytest.mark.parametrize(
    ("source", "part", "room"),
    [
        ("from palaestra.algorithms.run.phase import Phase", "algorithms", "learner"),
        ("def f():\n    from palaestra.algorithms.learner.policy import Policy", "algorithms", "scale"),
        ("from palaestra.algorithms.grpo import GRPOConfig", "algorithms", "run"),
        ("from palaestra.algorithms import train", "algorithms", "math"),
        ("from palaestra.envs.core.text_env import TextEnv", "envs", "formats"),
        ("from palaestra.envs.tools import tool", "envs", "formats"),
        ("from palaestra.envs.wrappers import TurnLimit", "envs", "core"),
        ("from palaestra.envs.check import check_environment", "envs", ""),
        ("from palaestra.envs.desk.world import DeskWorld", "envs", "core"),
        ("from palaestra.agents.rollout.engine import RolloutEngine", "agents", "store"),
        ("from palaestra.agents.report.report import write_report", "agents", "evaluation"),
        ("from palaestra.agents.backends.registry import make_backend", "agents", ""),
    ],
)
def test_an_arrow_that_runs_back_between_rooms_is_noticed(source, part, room):
    assert len(arrows_back_inside(source, part, room)) == 1


SETTINGS = sorted(
    {
        conditions(env_id).entry_point.partition(":")[0].rpartition(".")[0]
        for env_id in palaestra.list_envs()
        if conditions(env_id).entry_point.startswith("palaestra.envs.")
    }
)


def may_name(path: Path) -> set[str]:
    """Return the settings that a module may name: all in the registry, its own in a setting and in what bears its name."""
    if path == PACKAGE / "envs" / "registration.py":
        return set(SETTINGS)
    module = ".".join(("palaestra", *path.relative_to(PACKAGE).with_suffix("").parts))
    if part_of(path) == "envs":
        return {setting for setting in SETTINGS if f"{module}.".startswith(f"{setting}.")}
    bears_its_name = path.parent in (PACKAGE / "cli", PACKAGE / "agents" / "around")
    return {setting for setting in SETTINGS if bears_its_name and setting.rpartition(".")[2] == path.stem}


def settings_named(source: str, allowed: set[str]) -> list[str]:
    """Return what a module names of settings that it may not name, by import or in a text."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    names = [name for _, name in imported(source)] + [text for text in texts if isinstance(text, str)]
    others = [setting for setting in SETTINGS if setting not in allowed]
    return [f"{name!r} names {setting}" for name in names for setting in others if re.search(rf"{setting}(?!\w)", name)]


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_nothing_names_a_setting_but_the_registry_itself_and_what_bears_its_name(path):
    assert settings_named(path.read_text(encoding="utf-8"), may_name(path)) == []


@pytest.mark.parametrize(
    ("source", "path", "count"),
    [
        ("from palaestra.envs.vehicle.results.tables import vehicle_results", "agents/report/report.py", 1),
        ("RESULTS = {'palaestra/X-v0': 'palaestra.envs.agentgym.textcraft.results:tables'}", "agents/report/report.py", 1),
        ("def f():\n    import palaestra.envs.desk.env", "cli/desks.py", 1),
        ("def f():\n    import palaestra.envs.desk.env", "cli/desk.py", 0),
        ("def f():\n    import palaestra.envs.desk.env", "agents/around/desk.py", 0),
        ("def f():\n    import palaestra.envs.desk.env", "algorithms/desk.py", 1),
        ("import palaestra.envs.desk.env", "envs/vehicle/env.py", 1),
        ("from palaestra.envs.desk import world", "envs/core/tool_env.py", 1),
        ("from palaestra.envs.desk import world", "envs/desk/env.py", 0),
        ("ENTRY = 'palaestra.envs.desk.env:DeskEnv'", "envs/registration.py", 0),
        ("from palaestra.envs.core.text_env import TextEnv", "agents/report/report.py", 0),
        ("from palaestra.envs.desktop import icons", "agents/report/report.py", 0),
    ],
)
def test_a_setting_that_is_named_is_noticed(source, path, count):
    assert len(SETTINGS) > 2
    assert len(settings_named(source, may_name(PACKAGE / path))) == count


def module_name(path: Path) -> str:
    """Return the dotted name of a module of the package."""
    return ".".join(("palaestra", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def import_graph() -> dict[str, set[str]]:
    """Return which modules of the package each of them imports, at any depth of its code, for type checkers too."""
    names = {module_name(path) for path in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        found = set()
        for _, target in imported(path.read_text(encoding="utf-8")):
            while target not in names and "." in target:
                target = target.rpartition(".")[0]
            found.add(target)
        graph[module_name(path)] = found & names - {module_name(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import one another in a circle."""
    reached = {}
    for start in graph:
        seen, stack = set(), [start]
        while stack:
            for name in graph.get(stack.pop(), ()):
                if name not in seen:
                    seen.add(name)
                    stack.append(name)
        reached[start] = seen
    groups = {tuple(sorted(b for b in reached[a] if a in reached.get(b, ()))) for a in graph if a in reached[a]}
    return [list(group) for group in sorted(groups)]


def two_way_folders(graph: dict[str, set[str]], packages: set[str]) -> list[tuple[str, str]]:
    """Return pairs of folders next to each other that import each other.

    Args:
        graph: Imports by module.
        packages: The modules that are folders; their front doors are left out, because they export what lies in them.
    """
    pairs = set()
    for name, targets in graph.items():
        for target in targets - packages if name not in packages else ():
            ours, theirs = name.split("."), target.split(".")
            depth = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
            first, second = ".".join(ours[: depth + 1]), ".".join(theirs[: depth + 1])
            if depth and first in packages and second in packages:
                pairs.add((first, second))
    return sorted(pair for pair in pairs if pair[::-1] in pairs and pair[0] < pair[1])


def test_no_modules_import_one_another_in_a_circle():
    assert circles(import_graph()) == []


def test_no_two_folders_next_to_each_other_import_each_other():
    packages = {module_name(path) for path in MODULES if path.name == "__init__.py"}
    assert two_way_folders(import_graph(), packages) == []


def test_circles_and_two_way_folders_are_noticed():
    graph = {"p.a.x": {"p.b.y"}, "p.b.y": {"p.b.z"}, "p.b.z": {"p.a.w"}, "p.a.w": set(), "p.c": {"p.a.x"}}
    packages = {"p", "p.a", "p.b"}
    assert circles(graph) == []
    assert two_way_folders(graph, packages) == [("p.a", "p.b")]
    graph["p.a.w"] = {"p.c"}
    assert circles(graph) == [["p.a.w", "p.a.x", "p.b.y", "p.b.z", "p.c"]]
    graph["p.b.z"], graph["p.a.w"] = {"p.b"}, set()  # through the front door of its own folder
    graph["p.b"] = {"p.b.y"}
    assert circles(graph) == [["p.b", "p.b.y", "p.b.z"]]
    assert two_way_folders(graph, packages) == []


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


def test_reading_results_loads_nothing_that_plays():
    """Commands that compare, list or show start without the engine, the formats of answers and the judges of the audit."""
    modules = "palaestra.agents.evaluation.comparing, palaestra.agents.store.store, palaestra.envs.audit.shipped"
    program = f"import sys, {modules}; print(*(name for name in sys.modules if name.startswith('palaestra')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"palaestra.agents.rollout.engine", "palaestra.envs.formats.hermes", "palaestra.envs.audit.panel"}
    assert not heavy & set(done.stdout.split())
