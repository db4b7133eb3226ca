"""`palaestra init KIND NAME`: write a package of one's own with tests that pass, or a recipe, to begin with."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from palaestra.cli.options import AsJson, Settings, parse_settings, typed_id
from palaestra.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates"


class Kind(StrEnum):
    """What a package adds."""

    ENV = "env"
    AGENT = "agent"
    ALGORITHM = "algorithm"
    BACKEND = "backend"
    RECIPE = "recipe"


PACKAGES = (Kind.ENV, Kind.AGENT, Kind.ALGORITHM, Kind.BACKEND)


NEXT = {
    Kind.ENV: "palaestra check $module/$Class-v0",
    Kind.AGENT: "palaestra evaluate --env palaestra/TextCraft-v0 --model $module --option model=openai:NAME -n 10",
    Kind.ALGORITHM: 'palaestra train textcraft_tiny --set \'phases=["sft", "$module"]\'',
    Kind.BACKEND: "palaestra evaluate --env palaestra/TextCraft-v0 --model $module:NAME --option base_url=URL -n 10",
}


def init(
    kind: Annotated[Kind, typer.Argument(help="What the package adds.", show_default=False)],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, e.g. river-crossing; of a recipe, the ENV_ID.", show_default=False)
    ],
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the package's folder is created.")] = Path(
        "."
    ),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Write a package that adds an environment, an agent, an algorithm or a backend, with tests that pass; or a recipe."""
    from palaestra.cli.output import busy, console, print_json

    if kind is Kind.RECIPE:
        from palaestra.cli.starter import write_recipe

        typed_id(name)
        with busy(f"playing {name}"):
            path = write_recipe(name, folder, parse_settings(settings))
        train = f"palaestra train {shlex.quote(str(path))}"
        if as_json:
            print_json({"file": str(path), "next": [train]})
        else:
            console().print(f"wrote {path}", f"Next:\n  {train}", sep="\n", soft_wrap=True, markup=False)
        return
    if settings:
        raise UsageError(f"--set is for recipes; leave it out, the {kind} {name!r} has no arguments yet.")
    words = names_of(name, kind)
    _expect_free(kind, words["module"], name)
    root = folder / name
    files = write_package(kind, words, root)
    steps = [
        f"pip install -e {shlex.quote(str(root))}",
        f"pytest {shlex.quote(str(root))}",
        Template(NEXT[kind]).substitute(words),
    ]
    if as_json:
        print_json({"folder": str(root), "files": [path.relative_to(root).as_posix() for path in files], "next": steps})
        return
    out = console()
    for path in files:
        out.print(f"wrote {path}", soft_wrap=True, markup=False)
    out.print("Next:", *(f"  {step}" for step in steps), sep="\n", soft_wrap=True, markup=False)


def names_of(name: str, kind: Kind) -> dict[str, str]:
    """Return the names that a package's name stands for.

    Args:
        name: Letters, digits, hyphens and underscores, beginning with a letter.
        kind: What the package adds; a class does not repeat it where the name ends in it.

    Returns:
        `name` itself, `module` (in small letters with underscores), `MODULE` and `Class`.

    Raises:
        UsageError: If no package can have this name, or a module of it is there already.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name) is None:
        raise UsageError(
            f"The name is {name!r}; expected ASCII letters and digits, joined by hyphens or underscores, e.g. river-crossing."
        )
    parts = re.split("[-_]", name)
    module = "_".join(parts).lower()
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise UsageError(f"The name is {name!r}, a word of Python's own; choose another, e.g. my-{name}.")
    if importlib.util.find_spec(module) is not None:
        raise UsageError(f"There is a module {module!r} already; choose another name, e.g. my-{name}.")
    own = parts[:-1] if len(parts) > 1 and parts[-1].lower() == kind else parts
    return {
        "name": name,
        "module": module,
        "MODULE": module.upper(),
        "Class": "".join(part[0].upper() + part[1:] for part in own),
    }


def _expect_free(kind: Kind, module: str, name: str) -> None:
    """Refuse a name under which something else of this kind is registered already.

    Raises:
        UsageError: If the name is taken.
    """
    if kind is Kind.AGENT:
        from palaestra.agents.registry import list_agents

        taken = list_agents()
    elif kind is Kind.BACKEND:
        from palaestra.agents.backends.registry import list_backends

        taken = list_backends()
    elif kind is Kind.ALGORITHM:
        from palaestra.algorithms.run.registry import algorithm_names

        taken = list(algorithm_names())
    else:  # environments have a namespace of their own, the package's
        return
    if module in {one.replace("-", "_") for one in taken}:
        article = "a" if kind is Kind.BACKEND else "an"
        raise UsageError(
            f"There is {article} {kind} {module!r} already; choose another name, e.g. my-{name}. Nothing was written."
        )


def write_package(kind: Kind, words: dict[str, str], root: Path) -> list[Path]:
    """Write the files of a package and return them.

    Args:
        kind: Which templates.
        words: From `names_of`.
        root: The package's folder; created.

    Raises:
        UsageError: If the folder is there already and not empty.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} is there already; choose another NAME or --folder, nothing was written.")
    written = []
    for source in sorted((TEMPLATES / kind).rglob("*.tmpl")):
        relative = source.relative_to(TEMPLATES / kind).with_suffix("")
        parts = [part.replace("module", words["module"]) for part in relative.parts]
        target = root.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(source.read_text(encoding="utf-8")).substitute(words), encoding="utf-8", newline="\n")
        written.append(target)
    return written


__all__ = ["Kind", "init", "names_of", "write_package"]
