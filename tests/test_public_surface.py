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


def test_lazy_names_come_from_the_modules_named_beside_them():
    import palaestra.envs as envs

    for home, names in envs._HOMES.items():
        module = importlib.import_module(f"palaestra.envs.{home}")
        for name in names:
            assert getattr(envs, name) is getattr(module, name)
    assert sorted(name for names in envs._HOMES.values() for name in names) == sorted(envs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        _ = envs.NoSuchName


@pytest.mark.parametrize("path", sorted(Path(palaestra.__file__).parent.rglob("*.py")), ids=lambda path: path.stem)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_few_names_at_the_top():
    assert palaestra.__all__ == ["__version__", "list_envs"]
