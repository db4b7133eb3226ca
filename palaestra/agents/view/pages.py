"""What the live view shows: from an address and its query to a page.

The pages of runs and comparisons are those of the report (`report_context`), without transcripts; these have pages of their
own, a few episodes each. Addresses hold names of runs in their query only: no path is ever made of what a reader sends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from palaestra.agents.evaluation.arms import env_results, with_arms
from palaestra.agents.masking import masked_message
from palaestra.agents.report.page import page_environment
from palaestra.agents.report.report import report_context
from palaestra.agents.report.shown_media import ShownMedia
from palaestra.agents.report.transcripts import Candidate, TranscriptBook, TranscriptLimits, outcome_of
from palaestra.agents.store.records import RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.agents.view.folder import Damaged, Kept, RunsFolder, is_busy
from palaestra.agents.view.listing import MOST_OPTIONS, RunFilter, first, list_page, page_number, progress_of
from palaestra.envs.core.declared import declared
from palaestra.errors import PalaestraError, UnknownNameError, UsageError
from palaestra.types import Json

EPISODES_PER_PAGE = 25
MOST_COMPARED = 12
MOST_FOR_TABLES = 2_000
"""Most episodes up to which tables of an environment's own are made, which read every trajectory."""

_HERE = Path(__file__).parent
_REPORT = _HERE.parent / "report"
_STATIC = {
    "/static/report.css": (_REPORT / "report.css", "text/css"),
    "/static/report.js": (_REPORT / "report.js", "text/javascript"),
    "/static/view.css": (_HERE / "view.css", "text/css"),
    "/static/view.js": (_HERE / "view.js", "text/javascript"),
}
_SHARE_OF_TIME = 10  # a page that takes a second to make is asked for every ten seconds
_LEAST_EVERY_S = 2.0
_NO_TRANSCRIPTS = TranscriptLimits(max_transcripts=0)
_A_PAGE_OF_THEM = TranscriptLimits(max_transcripts=EPISODES_PER_PAGE)

Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Attributes:
        body: Its bytes.
        status: HTTP status.
        type: Media type, with its charset.
        headers: Further headers.
    """

    body: bytes
    status: int = 200
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Pages:
    """The pages about a folder of runs.

    Args:
        folder: The folder, or its SQLite file; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the templates."""
        self.folder = RunsFolder(folder)
        self._templates = page_environment(_HERE)
        self._templates.globals.update(
            version=version("palaestra"), folder=str(folder.resolve()), url=_url, transcripts="", state="", every=0, parts=""
        )
        self._lists: Kept[Answer] = Kept(6)  # apart from what takes long to make
        self._episode_pages: Kept[Answer] = Kept(6)
        self._reports: Kept[Answer] = Kept(6)
        self._routes: dict[str, Callable[[Query], Answer]] = {
            "/": self._list,
            "/run": self._run,
            "/compare": self._compare,
            "/episodes": self._episodes,
            "/state": self._state,
        }

    def knows(self, path: str) -> bool:
        """Whether there is something at a path."""
        return path in self._routes

    def answer(self, path: str, query: Query) -> Answer:
        """Return the page of an address.

        Args:
            path: Path as it was sent.
            query: Values by key.
        """
        if found := _STATIC.get(path):
            file, kind = found
            return Answer(file.read_bytes(), type=f"{kind}; charset=utf-8")
        if path not in self._routes:
            return self._problem(404, "There is no such page", "Runs, comparisons and episodes are reached from the list.")
        try:
            return self._routes[path](query)
        except UnknownNameError as error:
            return self._problem(404, "There is no such run", str(error))
        except UsageError as error:
            return self._problem(400, "This page cannot be shown", str(error))
        except PalaestraError as error:
            is_there = self.folder.is_there()
            title = "This is damaged, or was written by something else" if is_there else "There are no runs here yet"
            return self._problem(200, title, str(error))
        except Exception as error:  # what damaged and foreign runs do to their readers cannot be foreseen
            print(masked_message(f"palaestra view: {path}: {type(error).__name__}: {error}"), file=sys.stderr)
            return self._problem(200, "This run cannot be shown", f"{type(error).__name__}: {error}")

    # -- pages ----------------------------------------------------------------------------------------------------

    def _list(self, query: Query) -> Answer:
        """List the runs."""
        wanted = RunFilter.of(query)
        stamp = self.folder.version()

        def make() -> Answer:
            page = list_page(self.folder.listing(), wanted)
            return self._page(
                "runs.html", page=page, title="Runs", state="/state", stamp=stamp, every=_LEAST_EVERY_S, parts="#runs"
            )

        return self._lists.get((wanted, stamp), make)

    def _run(self, query: Query) -> Answer:
        """Show one run, as a report does."""
        return self._report([_one(query, "run")], "run.html")

    def _compare(self, query: Query) -> Answer:
        """Show runs side by side, as a report does."""
        run_ids = list(dict.fromkeys(query.get("run", ())))
        if not run_ids:
            raise UsageError("No run was chosen; tick two or more in the list, then press Compare.")
        if len(run_ids) > MOST_COMPARED:
            raise UsageError(
                f"{len(run_ids)} runs were chosen; a page compares at most {MOST_COMPARED}. For more: palaestra report RUN..."
            )
        return self._report(run_ids, "run.html")

    def _report(self, run_ids: Sequence[str], template: str) -> Answer:
        """Return the page of a report about runs."""
        stamp = self.folder.version(run_ids)

        def make() -> Answer:
            began = time.monotonic()
            with self.folder.open() as store:
                runs = [store.run(run_id) for run_id in run_ids]
                is_large = sum(run.num_episodes for run in with_arms(store, run_ids)) > MOST_FOR_TABLES
                context = report_context(run_ids, store=store, limits=_NO_TRANSCRIPTS, results={} if is_large else None)
            if is_large and any(declared(env_id).results for arm in context["arms"] for env_id in arm.env_ids):
                context["notices"].append(
                    f"Tables of an environment's own are left out here above {MOST_FOR_TABLES:,} episodes; palaestra report "
                    "makes them."
                )
            every = max(_LEAST_EVERY_S, _SHARE_OF_TIME * (time.monotonic() - began))
            return self._page(
                template,
                **context,
                shown_ids=list(dict.fromkeys(arm.run_id for arm in context["arms"])) or run_ids,
                progress=[progress_of(run) for run in runs],
                state=_url("/state", run=run_ids),
                stamp=stamp,
                every=round(every, 1),
                parts=".masthead > div|nav.contents ul|main",
            )

        return self._reports.get((tuple(run_ids), stamp), make)

    def _episodes(self, query: Query) -> Answer:
        """Show some transcripts of a run."""
        run_id = _one(query, "run")
        wanted = EpisodeFilter.of(query)
        stamp = self.folder.version([run_id])

        def make() -> Answer:
            with self.folder.open() as store:
                run = store.run(run_id)
                context = self._transcripts(store, run, wanted)
            return self._page(
                "episodes.html",
                **context,
                run=run,
                title=run.run_id,
                wanted=wanted,
                pager=lambda page: wanted.link(run_id, page),
                progress=[progress_of(run)],
                state=_url("/state", run=[run_id]),
                stamp=stamp,
                every=_LEAST_EVERY_S,
            )

        return self._episode_pages.get((run_id, wanted, stamp), make)

    def _transcripts(self, store: RunStore, run: RunSummary, wanted: EpisodeFilter) -> dict[str, Any]:
        """Return the transcripts of a page, and where the page is among all of them."""
        arms = self.folder.arms(store, run)
        rows = [(number, e) for number, arm in enumerate(arms) for e in arm.episodes]
        types = sorted({e.task_type for _, e in rows})
        found = [(number, e) for number, e in rows if wanted.takes(e)]
        found.sort(key=lambda row: row[1].finished_s, reverse=wanted.order == "newest")
        num_pages = max(1, -(-len(found) // EPISODES_PER_PAGE))
        page = min(wanted.page, num_pages)
        first = (page - 1) * EPISODES_PER_PAGE
        # without episodes the functions of environments read no trajectory, and still give the blocks of single ones
        media = ShownMedia(store.media, _A_PAGE_OF_THEM.max_item_bytes, _A_PAGE_OF_THEM.max_media_bytes)
        book = TranscriptBook(_A_PAGE_OF_THEM, env_results([arm.arm for arm in arms]), media)
        damaged = []
        for position, (number, e) in enumerate(found[first : first + EPISODES_PER_PAGE]):
            outcome = outcome_of(e.success, bool(e.error_boundary))
            candidate = Candidate(number, position, run.run_id, e.episode_id, e.task_type, outcome)
            try:
                book.fill([candidate], lambda one: store.get(one.run_id, one.episode_id))
            except Exception as error:  # one damaged episode hides no other
                damaged.append(masked_message(f"Episode {e.episode_id!r} cannot be shown: {error}"))
        return {
            "arms": arms,
            "types": types[:MOST_OPTIONS],
            "transcripts": Markup(book.script([(arm.name, arm.run_id) for arm in arms], by_arm=False))
            if book.episodes
            else "",
            "transcript_types": [],
            "damaged": damaged,
            "num_left_out": book.num_left_out,
            "page": page,
            "num_pages": num_pages,
            "first": first + 1,
            "last": min(first + EPISODES_PER_PAGE, len(found)),
            "num_found": len(found),
            "num_all": len(rows),
        }

    def _state(self, query: Query) -> Answer:
        """Say whether a page that a reader has is the current one, and how far its runs are."""
        run_ids = list(dict.fromkeys(query.get("run", ())))[:MOST_COMPARED]
        stamp = self.folder.version(run_ids)
        listing = self.folder.listing()
        runs = [run for run in listing.runs if run.run_id in run_ids] if run_ids else listing.runs
        data: Json = {
            "version": stamp,
            "busy": any(is_busy(run) for run in runs),
            "runs": [progress_of(run) for run in runs if not isinstance(run, Damaged)] if run_ids else [],
        }
        return Answer(json.dumps(data).encode(), type="application/json; charset=utf-8")

    # -- making ---------------------------------------------------------------------------------------------------

    def _page(self, template: str, *, status: int = 200, **context: Any) -> Answer:
        """Fill a template."""
        made: jinja2.Template = self._templates.get_template(template)
        return Answer(made.render(context).encode("utf-8", "replace"), status)

    def _problem(self, status: int, title: str, text: str) -> Answer:
        """Return a page that says what is wrong."""
        return self._page("problem.html", status=status, title=title, text=masked_message(text))


@dataclass(frozen=True, slots=True)
class EpisodeFilter:
    """Which episodes of a run are shown.

    Attributes:
        outcome: "success", "failure" or "error"; empty for all.
        type: "=TYPE"; empty for all.
        text: Part of the name of a task, an episode or an agent, or of an error.
        episode: Id of the only one.
        order: "newest" or "oldest" first.
        page: From 1.
    """

    outcome: str = ""
    type: str = ""
    text: str = ""
    episode: str = ""
    order: str = "newest"
    page: int = 1

    @classmethod
    def of(cls, query: Query) -> EpisodeFilter:
        """Read a query; what it does not say or says wrongly is as by default."""
        order = first(query, "order")
        return cls(
            outcome=first(query, "outcome"),
            type=next(iter(query.get("type", ())), ""),
            text=first(query, "text").strip(),
            episode=next(iter(query.get("episode", ())), ""),
            order=order if order in ("newest", "oldest") else "newest",
            page=page_number(query),
        )

    def takes(self, e: Any) -> bool:
        """Whether an episode is shown.

        Args:
            e: Its summary.
        """
        if self.episode:
            return bool(e.episode_id == self.episode)
        if self.outcome and outcome_of(e.success, bool(e.error_boundary)) != self.outcome:
            return False
        if self.type and f"={e.task_type}" != self.type:
            return False
        told = (e.task_key, e.episode_id, e.agent, e.stop_reason, e.error_type, e.error_message)
        return not self.text or self.text.lower() in "\n".join(told).lower()

    def link(self, run_id: str, page: int) -> str:
        """Return the address of a page of the same episodes."""
        said = {"outcome": self.outcome, "type": self.type, "text": self.text, "episode": self.episode, "order": self.order}
        return _url("/episodes", run=[run_id], **{key: value for key, value in said.items() if value}, page=str(page))


def _one(query: Query, key: str) -> str:
    """Return the only value of a key."""
    values = query.get(key, ())
    if len(values) != 1:
        raise UsageError(f"The address has {len(values)} values for {key!r}; expected one. Begin from the list of runs.")
    return values[0]


def _url(path: str, **query: str | Sequence[str]) -> str:
    """Return an address of the view."""
    return f"{path}?{urlencode(query, doseq=True, errors='replace')}"
