"""The list of runs: filters, pages, and one row a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode

from palaestra.agents.evaluation.floors import floor_of_run
from palaestra.agents.masking import masked_message
from palaestra.agents.store.about import env_ids_of, far, model_of, what_of
from palaestra.agents.store.records import RunStatus, RunSummary
from palaestra.agents.view.folder import Damaged, Listing
from palaestra.results.metrics import number
from palaestra.types import Json

RUNS_PER_PAGE = 50
MOST_OPTIONS = 200
_MOST_CHARS = 200
_MOST_PAGES = 10**9

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are listed.

    Attributes:
        text: Part of a name, of what a run does, or of its note.
        env: Environment.
        model: Agent of an evaluation, model of a recipe.
        status: How far it is; "damaged" for those that cannot be read.
        page: From 1.
    """

    text: str = ""
    env: str = ""
    model: str = ""
    status: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Query) -> RunFilter:
        """Read a query."""
        said = {key: first(query, key) for key in ("env", "model", "status")}
        return cls(text=first(query, "text").strip(), page=page_number(query), **said)

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is listed."""
        if self.env and self.env not in row["envs"]:
            return False
        if (self.model and self.model != row["model"]) or (self.status and self.status != row["status"]):
            return False
        return not self.text or self.text.lower() in f"{row['run']}\n{row['what']}\n{row['note']}".lower()

    def link(self, page: int) -> str:
        """Return the address of a page of the same runs."""
        said = {"text": self.text, "env": self.env, "model": self.model, "status": self.status}
        kept = {key: value for key, value in said.items() if value}
        return f"/?{urlencode({**kept, 'page': page}, errors='replace')}"


def list_page(listing: Listing, wanted: RunFilter) -> dict[str, Any]:
    """Return the values that the page of runs shows.

    Args:
        listing: All runs.
        wanted: Which of them, and which page.
    """
    rows = [_row(run) for run in listing.runs]
    found = [row for row in rows if wanted.takes(row)]
    num_pages = max(1, -(-len(found) // RUNS_PER_PAGE))
    page = min(wanted.page, num_pages)
    first_row = (page - 1) * RUNS_PER_PAGE
    shown = [{**row, **_above(row.get("record"))} for row in found[first_row : first_row + RUNS_PER_PAGE]]
    statuses = [status for status in (*get_args(RunStatus), "damaged") if any(row["status"] == status for row in rows)]
    return {
        "problem": listing.problem,
        "rows": shown,
        "num_all": len(rows),
        "num_found": len(found),
        "first": first_row + 1,
        "last": min(first_row + RUNS_PER_PAGE, len(found)),
        "page": page,
        "num_pages": num_pages,
        "wanted": wanted,
        "envs": sorted({env for row in rows for env in row["envs"]})[:MOST_OPTIONS],
        "models": sorted({row["model"] for row in rows if row["model"]})[:MOST_OPTIONS],
        "statuses": statuses,
        "is_biased": any(row["caveat"] for row in shown),
    }


def progress_of(run: RunSummary) -> dict[str, Json]:
    """Return how far a run is.

    Returns:
        `run`, `status`, `far` (in words), `share` (done of what was planned, from 0 to 1; None where that says nothing), and
        `note` (why it stopped).
    """
    planned = run.planned
    share = None if planned is None or not planned.planned else min(1.0, planned.done / planned.planned)
    if run.status == "finished":
        share = None
    words = f"{run.num_episodes:,} episode{'' if run.num_episodes == 1 else 's'}" if run.num_episodes else ""
    if planned is not None and run.status != "finished":
        words = str(planned)
    note = "" if run.status in ("created", "running", "finished") else run.note  # those say how much was planned
    return {"run": run.run_id, "status": run.status, "far": words, "share": share, "note": clip(masked_message(note))}


def _row(run: RunSummary | Damaged) -> dict[str, Any]:
    """Return the row of a run; one whose record makes no sense is damaged."""
    if isinstance(run, RunSummary):
        try:
            return _whole_row(run)
        except Exception as error:  # a record of other types than ours; the other runs are listed all the same
            run = Damaged(run.run_id, masked_message(f"{type(error).__name__}: {error}"))
    return {
        "run": run.run_id,
        "what": "",
        "envs": [],
        "model": "",
        "status": "damaged",
        "far": "",
        "share": None,
        "note": clip(run.problem),
        "caveat": "",
    }


def _whole_row(run: RunSummary) -> dict[str, Any]:
    """Return the row of a run that can be read."""
    scored = run.num_episodes - run.num_errors
    return {
        **progress_of(run),
        "what": clip(what_of(run.config)),
        "envs": [clip(name) for name in env_ids_of(run.config)],
        "model": clip(model_of(run.config)),
        "status": run.status,
        "words": far(run),
        "episodes": f"{run.num_episodes:,}",
        "success": f"{100 * run.num_success / scored:.1f}\u00a0%" if scored else "",
        "score": "" if run.mean_score is None else number(run.mean_score),
        "errors": run.num_errors,
        "created": time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.created_s)),
        "caveat": run.caveat,
        "record": run,
    }


def _above(run: RunSummary | None) -> dict[str, str]:
    """Return what a row says of success above what is for free: `above`, and `floor` (its agent and rate)."""
    found = None if run is None else floor_of_run(run)
    if found is None:
        return {"above": "", "floor": ""}
    if found.floor is None:
        return {"above": "", "floor": "no card"}
    above = "" if math.isnan(found.above.mean) else f"{100 * found.above.mean:+.1f}"
    return {"above": above, "floor": f"{found.floor.agent} {100 * (found.floor.success or 0.0):.1f}\u00a0%"}


def first(query: Query, key: str) -> str:
    """Return the first value of a key, cut to a length that names have; empty without one."""
    values = query.get(key, ())
    return values[0][:_MOST_CHARS] if values else ""


def page_number(query: Query) -> int:
    """Return the page that a query asks for; 1 for anything that is not a page."""
    text = first(query, "page")
    return min(max(1, int(text)), _MOST_PAGES) if text.isascii() and text.isdecimal() else 1


def clip(text: str) -> str:
    """Return a text that fits a row."""
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 3]}..."


__all__ = ["MOST_OPTIONS", "RUNS_PER_PAGE", "RunFilter", "clip", "first", "list_page", "page_number", "progress_of"]
