"""`write_card_page`: the audit card of an environment becomes one HTML file with pictures that needs nothing else."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from palaestra.agents.masking import masked
from palaestra.agents.report.page import digest, figure, page_environment, write_page
from palaestra.envs.audit.card import Card, Figure, Point
from palaestra.envs.audit.shipped import floor_of
from palaestra.results.statistics import wilson_interval
from palaestra.types import Json

_HERE = Path(__file__).parent
_KINDS = {
    "free": "knows nothing of its task: what it gets is for free",
    "harm": "harms, or writes to the grader: it must not be paid",
    "near": "the expert with one thing changed",
}
_MARKS = {"pass": "good", "warn": "extra", "fail": "bad", "not judged": "missing"}
_EXPERT = "expert"
_EVIDENCE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart.

    Attributes:
        name: Who or what.
        share: Length of the bar, 0 to 1; None where there is no number.
        value: The number in words.
        low: Lower end of its interval, 0 to 1; None without one.
        high: Upper end.
        about: What it is, in words.
        kind: "free", "harm", "near" or "expert"; how the bar is filled.
        note: Further figures.
    """

    name: str
    share: float | None
    value: str
    low: float | None = None
    high: float | None = None
    about: str = ""
    kind: str = "free"
    note: str = ""

    @property
    def width(self) -> str:
        """Length of the bar in percent of the room."""
        return f"{100 * min(1.0, max(0.0, self.share or 0.0)):.2f}"

    @property
    def ends(self) -> tuple[str, str] | None:
        """Ends of the interval in percent of the room."""
        return None if self.low is None or self.high is None else (f"{100 * self.low:.2f}", f"{100 * self.high:.2f}")


def write_card_page(path: str | os.PathLike[str], card: Card) -> Path:
    """Write one self-contained HTML page about an audit card.

    Args:
        path: File to write; its folder is made if need be. An existing file is replaced in one move.
        card: What `audit_environment` returned; one that ships has no reasons and no profile, and its page says so.

    Returns:
        The path.

    Raises:
        StoreError: If the file cannot be written.
    """
    return write_page(Path(path), render_card_page(card))


def render_card_page(card: Card) -> str:
    """Return the page that `write_card_page` writes; secrets in it are masked."""
    card = Card.from_json(masked(card.to_json()))
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    return _template().render(
        version=version("palaestra"),
        card=card,
        arguments=[(name, json.dumps(value, ensure_ascii=False)) for name, value in card.arguments.items()],
        marks=_MARKS,
        facts=_facts(card),
        groups=[(_KINDS[kind], bars) for kind in _KINDS if (bars := [_of_agent(*one) for one in _of_kind(card, kind)])],
        ceiling=_ceiling(card),
        profiles=_profiles(card),
        extremes=_extremes(card),
        length=_length(card),
        splits=[_shown(point) for point in card.points if point.name.startswith("splits.")],
        points=[_shown(point) for point in _worst_first(card.points)],
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        own_css=Markup((_HERE / "audit.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(digest(script)),
    )


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    """Return the compiled template."""
    return page_environment().get_template("audit.html")


def _facts(card: Card) -> list[tuple[str, str, str]]:
    """Return the headline figures: label, value, note."""
    counts = {verdict: sum(point.verdict == verdict for point in card.points) for verdict in _MARKS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    floor = floor_of(card.floors)
    free = ("not known", "no agent that knows nothing") if floor is None else (_percent(floor.success), floor.agent)
    return [
        ("Verdict", card.verdict, told or "no point was judged"),
        ("Best floor", *free),
        ("Expert", _percent(card.ceiling.get("success")), _steps(card.ceiling)),
        ("Tasks", f"{card.n:,}", f"{f'of split {card.split}' if card.split else 'no splits'}{_less(card)}"),
    ]


def _less(card: Card) -> str:
    """Say that less was played than of an environment whose steps cost little; empty if it was not."""
    effort = _mapping(card.sections.get("effort"))
    if effort.get("level", "cheap") == "cheap":
        return ""
    return f", effort {effort['level']!r}: agents are cut after {effort['actions']} actions"


def _steps(ceiling: Mapping[str, Json]) -> str:
    """Say how many steps the expert takes."""
    steps = _number(ceiling.get("steps"))
    return "steps not known" if steps is None else f"{steps:.1f} steps on average"


def _of_kind(card: Card, kind: str) -> list[tuple[str, Figure]]:
    """Return the agents of a kind, the best first; those of kinds that are not known are free ones."""
    found = [(name, one) for name, one in card.floors.items() if (one.kind if one.kind in _KINDS else "free") == kind]
    return sorted(found, key=lambda item: -(_number(item[1].success) or 0.0))


def _of_agent(name: str, found: Figure) -> Bar:
    """Return the bar of an agent of the panel."""
    share, mean = _number(found.success), _number(found.mean_return)
    notes = [f"return {'none' if mean is None else figure(mean)}", f"{found.n:,} episodes"]
    notes += [f"{found.errors:,} errors"] if found.errors else []
    if share is None or not 0 <= share <= 1 or found.n < 1:
        return Bar(name, None, "not known", about=found.about, kind=found.kind, note=", ".join(notes))
    low, high = wilson_interval(share * found.n, found.n)
    return Bar(name, share, _percent(share), low, high, found.about, found.kind, ", ".join(notes))


def _ceiling(card: Card) -> Bar:
    """Return the bar of the expert."""
    n = card.ceiling.get("n")
    own = Figure(card.ceiling.get("success"), card.ceiling.get("return"), n if isinstance(n, int) else 0, kind=_EXPERT)
    found = _of_agent(_EXPERT, own)
    failed = [str(key) for key in card.ceiling.get("failed") or ()]
    about = f"the environment's own expert{f'; fails in {_few(failed)}' if failed else ''}"
    return Bar(_EXPERT, found.share, found.value, found.low, found.high, about, _EXPERT, found.note)


def _profiles(card: Card) -> list[dict[str, Any]]:
    """Return the success of the expert and of the best other reference agent, by type and by parameters of the tasks."""
    found = _mapping(card.sections.get("difficulty"))
    tables = [("task type", _mapping(found.get("by_type")))]
    tables += [(name, _mapping(values)) for name, values in _mapping(found.get("by_parameter")).items()]
    profiles = []
    for title, values in tables:
        rows = []
        for value, facts in values.items():
            facts = _mapping(facts)
            success = {name: _number(share) for name, share in _mapping(facts.get("success")).items()}
            known = {name: share for name, share in success.items() if name != _EXPERT and share is not None}
            best = max(known, key=lambda name: known[name]) if known else ""
            steps = _number(facts.get("steps"))
            rows.append(
                {
                    "value": value or "(none)",
                    "n": f"{_number(facts.get('n')) or 0:,.0f}",
                    "steps": "" if steps is None else f"{steps:.1f}",
                    "expert": Bar(_EXPERT, success.get(_EXPERT), _percent(success.get(_EXPERT)), kind=_EXPERT),
                    "best": Bar(best, known.get(best), _percent(known.get(best))),
                }
            )
        if rows:
            profiles.append({"title": title, "rows": rows})
    return profiles


def _extremes(card: Card) -> str:
    """Say what share of the tasks separates no agents."""
    found = _mapping(card.sections.get("difficulty"))
    shares = [_number(found.get(name)) for name in ("nobody", "everybody")]
    if None in shares:
        return ""
    return f"Nobody solves {_percent(shares[0])} of the tasks, and every reference agent {_percent(shares[1])}."


def _length(card: Card) -> dict[str, Any]:
    """Return steps of a solution, and tokens by format with bars relative to the longest."""
    found = _mapping(card.sections.get("length"))
    forms = {name: _mapping(costs) for name, costs in _mapping(found.get("by_format")).items()}
    most = max((_number(costs.get("read")) or 0.0 for costs in forms.values()), default=0.0)
    bars = []
    for name, costs in forms.items():
        read, once = _number(costs.get("read")), _number(costs.get("read_once"))
        parts = [f"{title} {_number(costs.get(key)) or 0:,.0f}" for key, title in _PARTS.items()]
        value = "not known" if read is None else f"{read:,.0f}"
        share = read / most if read is not None and most > 0 else None
        bars.append(Bar(name, share, value, about="" if once is None else f"{once:,.0f}", note=", ".join(parts)))
    steps = _mapping(found.get("steps"))
    told = ""
    if steps:
        mean, median, longest = (_number(steps.get(name)) or 0.0 for name in ("mean", "median", "most"))
        told = f"A solution takes {mean:.1f} steps on average, {median:.0f} in the median and {longest:.0f} at most."
    return {"bars": bars, "told": told}


_PARTS = {"prompt": "instructions and tools", "first": "first observation", "written": "written"}


def _worst_first(points: Sequence[Point]) -> list[Point]:
    """Return points that fail, then those that warn or were not judged, then the others, each in their order."""
    rank = {"fail": 0, "warn": 1, "not judged": 2, "pass": 3}
    return sorted(points, key=lambda point: rank[point.verdict])


def _shown(point: Point) -> dict[str, str]:
    """Return a point for the page."""
    evidence = json.dumps(dict(point.evidence), ensure_ascii=False, indent=1, default=str) if point.evidence else ""
    if len(evidence) > _EVIDENCE_CHARS:
        evidence = f"{evidence[:_EVIDENCE_CHARS]}\n... (cut; --json has all of it)"
    return {"name": point.name, "verdict": point.verdict, "reason": point.reason, "evidence": evidence}


def _mapping(value: Json) -> Mapping[str, Any]:
    """Return a mapping of a card; an empty one where there is something else."""
    return value if isinstance(value, Mapping) else {}


def _number(value: Json) -> float | None:
    """Return a finite number of a card; None where there is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _percent(share: Json) -> str:
    """Return a share in percent, or that it is not known."""
    number = _number(share)
    return "not known" if number is None else f"{100 * number:.1f}\u00a0%"


def _few(names: Sequence[str]) -> str:
    """Return some names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


__all__ = ["render_card_page", "write_card_page"]
