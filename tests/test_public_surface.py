"""What `__init__` files name is what is there, and nothing else is."""

import ast
import importlib
import pkgutil
import types
from pathlib import Path

import pytest

import palaestra

PACKAGES = ["palaestra"] + [
    info.name
    for info in pkgutil.walk_packages(palaestra.__path__, "palaestra.")
    if info.ispkg and info.name != "palaestra.cli"
]


def visible(package: types.ModuleType) -> set[str]:
    """Return the public names of a package that are no submodules."""
    return {
        name
        for name in dir(package)
        if name == "__version__" or not (name.startswith("_") or isinstance(getattr(package, name), types.ModuleType))
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_what_is_visible(name):
    package = importlib.import_module(name)
    listed = list(getattr(package, "__all__", []))
    assert len(listed) == len(set(listed))
    assert visible(package) == set(listed)
    for item in listed:
        assert getattr(package, item) is not None


LAZY = [name for name in PACKAGES if hasattr(importlib.import_module(name), "_HOMES")]


def test_the_four_parts_and_the_front_door_are_lazy():
    assert {"palaestra", *(f"palaestra.{part}" for part in ("envs", "agents", "algorithms", "models"))} <= set(LAZY)


@pytest.mark.parametrize("name", LAZY)
def test_lazy_names_come_from_the_modules_named_next_to_them(name):
    package = importlib.import_module(name)
    listed = []
    for home, entries in package._HOMES.items():
        module = importlib.import_module(f"{name}.{home}")
        for entry in entries:
            original, _, alias = entry.partition(" as ")
            listed.append(alias or original)
            assert getattr(package, listed[-1]) is getattr(module, original)
    assert sorted([*listed, *{"__version__", "list_envs"} & set(vars(package))]) == sorted(package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        _ = package.NoSuchName


@pytest.mark.parametrize("name", LAZY)
def test_type_checkers_see_the_same_lazy_names(name):
    package = importlib.import_module(name)
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
    seen = {
        (node.module.removeprefix(f"{name}."), alias.name, alias.asname or alias.name)
        for node in block.body
        for alias in node.names
    }
    entries = [(home, *entry.partition(" as ")[::2]) for home, names in package._HOMES.items() for entry in names]
    assert seen == {(home, original, alias or original) for home, original, alias in entries}


@pytest.mark.parametrize("path", sorted(Path(palaestra.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_few_names_at_the_top():
    assert len(palaestra.__all__) <= 12
    assert {"evaluate", "make_agent", "train", "write_report", "RunStore", "list_envs", "check"} <= set(palaestra.__all__)
