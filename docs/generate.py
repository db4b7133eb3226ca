"""Writes the pages of docs/reference and the tables of README.md from docstrings: what they say is what the code says.

    python docs/generate.py            # write
    python docs/generate.py --check    # exit 1 and name the pages that are not up to date

Environments come from the registry (class docstrings), their verdicts from the cards that ship (docs/cards.py makes them),
algorithms and recipe tables from their config classes (docstrings of classes and fields), commands from the command line,
papers from the sections `Papers:` of all docstrings.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import itertools
import operator
import re
import sys
import textwrap
import types
import typing
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import palaestra
from palaestra.envs.audit.pages import page_name
from palaestra.envs.audit.shipped import shipped_card
from palaestra.envs.registration import conditions

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(palaestra.__file__).parent
HEAD = "<!-- Written by docs/generate.py from docstrings; change those. -->\n\n"
PAPER = re.compile(r"^(?P<title>.+?) \((?P<id>(?:arXiv|doi):\S+?)\): (?P<taken>.+?)\.?(?: Left out: (?P<left>.+?)\.?)?$")
SECTION = re.compile(r"^(?:## )?Papers:?\s*$")


class Paper(NamedTuple):
    """A paper, what was taken from it, what was left out, and the file that says so."""

    title: str
    id: str
    taken: str
    left: str
    where: str


# -- papers -----------------------------------------------------------------------------------------------------------


def papers_of(docstring: str | None, where: str = "") -> list[Paper]:
    """Return the entries of the section `Papers:` of a docstring.

    Raises:
        ValueError: If an entry cannot be read.
    """
    lines = inspect.cleandoc(docstring or "").splitlines()
    start = next((number for number, line in enumerate(lines) if SECTION.match(line)), None)
    if start is None:
        return []
    entries: list[str] = []
    indent = None
    for line in lines[start + 1 :]:
        if not line.strip() or not line.startswith((" ", "* ")):
            break
        depth = len(line) - len(line.lstrip(" *"))
        indent = depth if indent is None else indent
        if depth == indent:
            entries.append(line.strip().removeprefix("* "))
        else:
            entries[-1] += f" {line.strip()}"
    found = []
    for entry in entries:
        match = PAPER.match(entry)
        if match is None:
            raise ValueError(f"{where}: {entry!r} is not of the form 'TITLE (arXiv:ID): what was taken. Left out: what.'")
        found.append(Paper(match["title"], match["id"], match["taken"], match["left"] or "", where))
    return found


def all_papers() -> list[Paper]:
    """Return the papers of every docstring of the package, by id."""
    found: list[Paper] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                found += papers_of(ast.get_docstring(node), path.relative_to(PACKAGE).as_posix())
    return sorted(found, key=lambda paper: (paper.id.split(":")[1], paper.where))


def papers_table() -> str:
    """Return the table of papers, one row a paper and file."""
    rows = [
        (f"{paper.title}, {paper.id}", paper.taken, paper.left or "-", f"[{paper.where}](palaestra/{paper.where})")
        for paper in all_papers()
    ]
    return table(("paper", "taken", "left out", "where"), rows)


# -- environments -----------------------------------------------------------------------------------------------------


def own_envs() -> list[str]:
    """Return the ids of this package; those of plug-ins that happen to be installed are not its pages."""
    return [env_id for env_id in palaestra.list_envs() if env_id.startswith("palaestra/")]


def environment_table(link: str, env_ids: Iterable[str] | None = None) -> str:
    """Return the table of environments; `link` is where their pages are."""
    rows = []
    for env_id in own_envs() if env_ids is None else env_ids:
        doc = inspect.cleandoc(env_class(env_id).__doc__ or "")
        source = ", ".join(f"{paper.title} ({paper.id})" for paper in papers_of(doc, env_id)) or "ours"
        rows.append((f"[`{env_id}`]({link}{slug(env_id)}.md)", first_sentence(doc), source))
    return table(("id", "what", "source"), rows)


def environment_page(env_id: str) -> str:
    """Return the page of an environment: its class docstring, metrics and tools."""
    cls = env_class(env_id)
    doc = inspect.cleandoc(cls.__doc__ or "")
    lead, _, rest = doc.partition("\n\n")
    parts = [f"# {env_id}", lead, markdown(rest)]
    if metrics := getattr(cls, "metrics", ()):
        rows = [(f"`{m.name}`", m.about, m.unit or "-", m.better or "-") for m in metrics]
        parts += ["## Metrics", table(("name", "what", "unit", "better"), rows)]
    if seats := getattr(cls, "seats", ()):
        judges = getattr(cls, "judges", ())
        rows = [(f"`{name}`", "policy" if name == seats[0] else "judge" if name in judges else "user") for name in seats]
        parts += ["## Seats", table(("seat", "boundary"), rows)]
    known = conditions(env_id)
    wants = [f"the extra `{known.extra}`"] * bool(known.extra) + [f"{name}" for name in known.needs]
    wants += [f"the argument `{name}`" for name in known.arguments]
    if wants:
        parts.append(f"Needs {', '.join(wants)}.")
    if card := shipped_card(env_id):
        parts.append(f"Audit: [{card.verdict}](../../cards/{page_name(env_id)}.md).")
    parts.append(f"Class: `{cls.__module__}.{cls.__qualname__}`.")
    return "\n\n".join(parts) + "\n"


def env_class(env_id: str) -> type[Any]:
    """Return the class behind an id."""
    from palaestra.cli.environments import env_class as found

    return found(env_id)


def slug(env_id: str) -> str:
    """Return the file name of an environment's page."""
    return env_id.rpartition("/")[2]


# -- algorithms and recipes -------------------------------------------------------------------------------------------


def is_own(config: type) -> bool:
    """Whether a class is this package's."""
    return config.__module__.startswith("palaestra.")


def own_algorithms() -> list[str]:
    """Return the names of this package's algorithms."""
    from palaestra.algorithms import algorithm_names, get_algorithm

    return [name for name in algorithm_names() if is_own(get_algorithm(name).config)]


def algorithm_table(link: str, names: Iterable[str] | None = None) -> str:
    """Return the table of algorithms."""
    from palaestra.algorithms import get_algorithm

    rows = []
    for name in own_algorithms() if names is None else names:
        algorithm = get_algorithm(name)
        doc = inspect.cleandoc(algorithm.config.__doc__ or "")
        papers = ", ".join(f"{paper.title} ({paper.id})" for paper in papers_of(doc, name)) or "-"
        rows.append((f"[`{name}`]({link}#{name})", about_table(doc), papers))
    return table(("name", "what", "paper"), rows)


def algorithms_page(names: Iterable[str] | None = None) -> str:
    """Return the page of all algorithms with their settings."""
    from palaestra.algorithms import get_algorithm

    listed = own_algorithms() if names is None else list(names)

    parts = ["# Algorithms", "A recipe names an algorithm in a phase; these are its settings.", algorithm_table("", listed)]
    for name in listed:
        config = get_algorithm(name).config
        parts += [f"## {name}", markdown(inspect.cleandoc(config.__doc__ or "")), settings(config)]
    return "\n\n".join(parts) + "\n"


def recipe_page(*, plugins: bool = False) -> str:
    """Return the page of the tables of a recipe: its own, then those of extensions; also what plug-ins add, if asked for."""
    from palaestra.algorithms import Recipe
    from palaestra.algorithms.run.extension_registry import extension_names, get_extension
    from palaestra.algorithms.run.recipe_configs import PhaseConfig
    from palaestra.models import get_model_kind, model_kinds

    own = list(tables_of_recipes())
    listed = {name for name, _, _ in own} | {"envs", "phases", "extensions", "model_kind"}
    parts = ["# Recipes", markdown(inspect.cleandoc(Recipe.__doc__ or "")), settings(Recipe, without=listed)]
    for name, title, model in own:
        parts += [f"## {title}", markdown(inspect.cleandoc(model.__doc__ or "")), settings(model)]
        if name == "env":
            parts += ["## [[phase]]", markdown(inspect.cleandoc(PhaseConfig.__doc__ or ""))]
            parts += [settings(PhaseConfig, without={"settings", "extensions", "active"})]
        for kind in model_kinds() if name == "model" else ():
            config = get_model_kind(kind).config
            if not plugins and not is_own(config):
                continue
            parts += [f'### kind = "{kind}"', markdown(inspect.cleandoc(config.__doc__ or ""))]
            parts += [settings(config, without=model.model_fields)]
    parts += [
        "# Extensions",
        "Tables of a recipe, or of one of its phases (`[grpo.noise]`, `noise = {...}` in a `[[phase]]`).",
    ]
    for name in extension_names():
        extension = get_extension(name)
        if not plugins and not is_own(extension.config_type):
            continue
        parts += [f"## [{name}]", markdown(inspect.cleandoc(extension.__doc__ or "")), settings(extension.config_type)]
    return "\n\n".join(parts) + "\n"


def tables_of_recipes() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Yield the tables that every recipe may have: name, heading, config class."""
    from palaestra.algorithms import Recipe
    from palaestra.algorithms.run.recipe_configs import EnvConfig

    yield "env", "[[env]]", EnvConfig
    for name, field in Recipe.model_fields.items():
        for model in models_in(field.annotation) if name not in ("envs", "phases", "extensions") else ():
            yield name, f"[{name}]", model


def settings(model: type[BaseModel], prefix: str = "", *, without: Collection[str] = ()) -> str:
    """Return the table of a config class: key, type, default, what it is; nested groups by dotted keys."""
    rows = [row for row in setting_rows(model, prefix) if row[0].strip("`").partition(".")[0] not in without]
    return table(("key", "type", "default", "what"), rows)


def setting_rows(model: type[BaseModel], prefix: str, owner: BaseModel | None = None) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a config class; `owner` is the group's default in the table it stands in, which may differ."""
    about = field_docs(model)
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True) if owner is None else getattr(owner, name)
        if isinstance(value, BaseModel) and len(models_in(field.annotation)) == 1 and prefix.count(".") < 2:
            yield from setting_rows(type(value), f"{prefix}{name}.", value)
            continue
        default = "required" if owner is None and field.is_required() else default_text(value)
        yield f"`{prefix}{name}`", f"`{type_text(field)}`", default, about.get(name, "")


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the config classes in an annotation."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) and annotation is not BaseModel else []
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings below the fields of a config class, those of its bases included."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, BaseModel) or cls is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
        for field, below in itertools.pairwise(body):
            text = getattr(getattr(below, "value", None), "value", None)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found


def type_text(field: FieldInfo) -> str:
    """Return an annotation as a reader would write it, with its bounds."""
    annotation = _without_checks(field.annotation)
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"\b(?:typing|collections\.abc|palaestra(?:\.\w+)+)\.", "", text)
    bounds = [
        f"{sign} {getattr(item, key):g}"
        for item in field.metadata
        for key, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if isinstance(getattr(item, key, None), (int, float))
    ]
    return f"{text}, {', '.join(bounds)}" if bounds else text


def _without_checks(annotation: Any) -> Any:
    """Return an annotation without the functions that check its values (`Annotated`)."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _without_checks(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, map(_without_checks, typing.get_args(annotation)))
    if typing.get_origin(annotation) is tuple:
        return types.GenericAlias(tuple, tuple(map(_without_checks, typing.get_args(annotation))))
    return annotation


def default_text(value: Any) -> str:
    """Return a default as TOML would have it."""
    if value is None or value is PydanticUndefined:
        return "-"
    if isinstance(value, BaseModel):
        return "see its table"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{str(value).lower() if isinstance(value, bool) else repr(value)}`"


# -- commands ---------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return the help of every command."""
    import typer

    from palaestra.cli.main import app

    root = typer.main.get_command(app)
    parts = ["# Commands", inspect.cleandoc(root.help or "")]
    for words, command in walk(root, ("palaestra",)):
        rows = []
        for parameter in command.params:
            if "--help" in parameter.opts:
                continue
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                names = f"`{parameter.metavar or (parameter.name or '').upper()}`"
            rows.append((names, " ".join((getattr(parameter, "help", "") or "").split())))
        parts += [f"## {' '.join(words)}", inspect.cleandoc(command.help or "")]
        if rows:
            parts.append(table(("argument or option", "what"), rows))
    return "\n\n".join(parts) + "\n"


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below a group, groups that do something of their own included."""
    import typer

    context = typer.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        yield (*words, name), found
        if hasattr(found, "list_commands"):
            yield from walk(found, (*words, name))


# -- text -------------------------------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    titles = list(head)
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    lines += [f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def markdown(text: str) -> str:
    """Return Google sections (`Arguments:` and indented entries) as Markdown lists; Markdown stays as it is."""
    out: list[str] = []
    indented = None
    for line in text.splitlines():
        if re.match(r"^[A-Z][A-Za-z ,]{2,40}:$", line):
            out += [f"**{line[:-1]}**", ""]
            indented = None
        elif line.startswith("    ") and not line.lstrip().startswith(("* ", "- ", "|")):
            depth = len(line) - len(line.lstrip())
            indented = depth if indented is None else indented
            entry = re.match(r"^\s+(\*{0,2}\w+): (.*)$", line)
            if depth == indented and entry:
                out.append(f"* `{entry[1]}`: {entry[2]}")
            elif depth == indented:
                out.append(f"* {line.strip()}")
            else:
                out.append(f"  {line.strip()}")
        else:
            out.append(line)
    return "\n".join(out)


def first_sentence(doc: str) -> str:
    """Return the first line of a docstring without its full stop."""
    return doc.partition("\n\n")[0].replace("\n", " ").rstrip(".")


def about_table(doc: str) -> str:
    """Return what a config docstring says after "Table `[name]`: "."""
    return re.sub(r"^Table `\[\w+\]`(?: of a recipe)?(?:[,:] )?", "", first_sentence(doc)) or first_sentence(doc)


# -- writing ----------------------------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Return every generated page by its path; README.md with its tables replaced."""
    reference = ROOT / "docs" / "reference"
    found = {
        reference / "algorithms.md": algorithms_page(),
        reference / "recipes.md": recipe_page(),
        reference / "commands.md": commands_page(),
        reference / "papers.md": f"# Papers\n\n{papers_table().replace('](palaestra/', '](../../palaestra/')}\n",
        reference / "environments.md": f"# Environments\n\n{environment_table('environments/')}\n",
    }
    for env_id in own_envs():
        found[reference / "environments" / f"{slug(env_id)}.md"] = environment_page(env_id)
    found = {path: HEAD + text for path, text in found.items()}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, text in (
        ("environments", environment_table("docs/reference/environments/")),
        ("algorithms", algorithm_table("docs/reference/algorithms.md")),
        ("papers", papers_table()),
    ):
        readme = between(readme, name, text)
    found[ROOT / "README.md"] = readme
    return found


def between(page: str, name: str, text: str) -> str:
    """Put a text between the marks `<!-- name -->` and `<!-- /name -->` of a page."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(start) != 1 or page.count(end) != 1:
        raise ValueError(f"The page needs the marks {start} and {end} once each.")
    head, tail = page.split(start)[0], page.split(end)[1]
    return f"{head}{start}\n{text}\n{end}{tail}"


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or say which are not up to date."""
    parser = argparse.ArgumentParser(description="Write the generated pages of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is not up to date")
    options = parser.parse_args(arguments)
    wanted = pages()
    folder = ROOT / "docs" / "reference"
    stale = [path for path in folder.rglob("*.md") if path not in wanted]
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in [*changed, *stale]:
        print(path.relative_to(ROOT).as_posix())
    if options.check:
        return 1 if changed or stale else 0
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in stale:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
