"""Writes the API reference from the docstrings with pdoc: `python docs/build.py [FOLDER] [MODULE ...]` (`make docs`).

Every public module of the package has a page. Names that a package imports when they are first used are imported here, since
pdoc looks at what is there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pdoc

import palaestra


def public_modules() -> list[str]:
    """Return the dotted names of all public modules, packages first."""
    found = ["palaestra"]
    for info in pkgutil.walk_packages(palaestra.__path__, "palaestra."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return sorted(found)


def show_everything(names: Sequence[str]) -> None:
    """Import what packages offer lazily, and list their modules, which `__all__` leaves out."""
    for name in names:
        module = importlib.import_module(name)
        listed = list(getattr(module, "__all__", ()))
        for public in listed:
            vars(module).setdefault(public, getattr(module, public))
        if listed and hasattr(module, "__path__"):
            inside = [child.rpartition(".")[2] for child in names if child.rpartition(".")[0] == name]
            module.__all__ = list(dict.fromkeys([*listed, *inside]))


def build(folder: Path, modules: Sequence[str] | None = None) -> None:
    """Write the reference.

    Args:
        folder: Where the pages go.
        modules: Names of modules to write pages for; all public ones by default.
    """
    show_everything(public_modules())
    # pdoc would have node compile the search index; over one of this size node runs out of stack. Browsers compile it as well.
    pdoc.render.precompile_index = lambda documents, compile_js: json.dumps(documents)
    # it cannot look names up from the fields of a NamedTuple, and writes them out as they are
    warnings.filterwarnings("ignore", message="Error parsing type annotation ForwardRef")
    pdoc.render.configure(docformat="google", show_source=False)
    if modules is None:
        pdoc.pdoc("palaestra", output_directory=folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: pdoc.doc.Module(importlib.import_module(name)) for name in modules}
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(pdoc.render.html_module(page, all_modules=pages), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write the reference into a folder."""
    parser = argparse.ArgumentParser(description="Write the API reference.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("site"))
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args(arguments)
    build(options.folder, options.modules or None)
    print((options.folder / "index.html").resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
