from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.report import TranscriptLimits, write_report
from palaestra.agents.report.report import render_report
from palaestra.agents.store.store import RunStore
from palaestra.media import Media, MemoryMedia, describe, find_media, png_bytes, tone, use_media
from palaestra.types import Message, Step
from tests.agents.report import build
from tests.agents.report.page import Page, chromium, in_browser, parse
from tests.media.gallery import ENV_ID


@pytest.fixture(autouse=True)
def media():
    with use_media(MemoryMedia()) as store:
        yield store


@pytest.fixture
def store(tmp_path):
    """A store with a run of two episodes in the gallery: each with a picture, a sound heard and one made."""
    with RunStore(tmp_path / "runs") as opened:
        evaluate(ENV_ID, ExpertAgent(), n=2, store=opened, run_id="x")
        with use_media(MemoryMedia()):  # the process that writes reports is another one
            yield opened


def named(store: RunStore) -> list[Media]:
    return list(dict.fromkeys(item for trajectory in store.trajectories("x") for item in find_media(repr(trajectory))))


def written(store: RunStore, folder: Path, **limits: int) -> tuple[Path, Page]:
    path = write_report(folder / "report.html", ["x"], store=store, limits=TranscriptLimits(**limits))
    return path, parse(path.read_text(encoding="utf-8"))


def policy(page: Page) -> str:
    return next(str(a["content"]) for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))


def test_a_page_holds_what_its_transcripts_name_and_may_show_nothing_else(store, tmp_path):
    _, page = written(store, tmp_path)
    wanted = {
        item.sha256: {"src": f"data:{item.type};base64,{base64.b64encode(store.media('x').get(item)).decode()}"}
        for item in named(store)
    }
    assert page.data["media"] == wanted
    assert "img-src data:; media-src data:;" in policy(page)
    assert "default-src 'none'" in policy(page)
    _, text_alone = written(store, tmp_path / "none", max_transcripts=0)
    assert "img-src" not in policy(text_alone)


def test_what_is_too_large_is_linked_to_the_file_of_the_run(store, tmp_path):
    sizes = sorted(len(store.media("x").get(item)) for item in named(store))
    for folder in (store.run_folder("x"), tmp_path / "else where"):
        path, page = written(store, folder, max_item_bytes=sizes[0])
        linked = {name: item for name, item in page.data["media"].items() if "href" in item}
        assert len(linked) == sum(size > sizes[0] for size in sizes) > 0
        assert f"too large for this file ({len(linked)}) are links" in page.text
        for name, item in linked.items():
            target = Path(os.path.normpath(path.parent / unquote(item["href"])))
            assert describe(target.read_bytes()).sha256 == name
            assert item["note"].endswith(" MB")
        assert (folder == store.run_folder("x")) is all(item["href"].startswith("media/") for item in linked.values())


def test_all_together_are_bounded_and_without_a_place_there_are_no_links(store):
    total = sum(len(store.media("x").get(item)) for item in named(store))
    page = parse(render_report(["x"], store=store, limits=TranscriptLimits(max_media_bytes=total - 1)))
    kinds = [sorted(item) for item in page.data["media"].values()]
    assert kinds.count(["note"]) == 1
    assert kinds.count(["src"]) == len(kinds) - 1
    assert "left out of this page" in json.dumps(page.data["media"])


def test_a_damaged_file_is_named_and_the_rest_is_shown(store, tmp_path):
    lost = named(store)[0]
    path = store.media("x").path(lost)
    assert path is not None
    path.write_bytes(b"rust")
    _, page = written(store, tmp_path)
    shown = page.data["media"]
    assert shown.pop(lost.sha256) == {"note": "damaged"}
    assert all("src" in item for item in shown.values())


def test_in_a_browser_sounds_play_and_pictures_are_seen(store, tmp_path):
    chromium()
    path, _ = written(store, tmp_path)
    found = in_browser(
        path,
        """
        const [picture] = doc.querySelectorAll("#transcript img"), sounds = [...doc.querySelectorAll("#transcript audio")];
        for (let i = 0; i < 60 && !(picture.complete && sounds.every((s) => s.readyState > 0)); i++) {
          await new Promise((ok) => setTimeout(ok, 50));
        }
        const text = doc.querySelector("#turn-1").innerText, width = picture.getBoundingClientRect().width;
        type("f-text", "red, green"); const marks = doc.querySelectorAll("#transcript mark").length;
        return {
          size: [picture.naturalWidth, picture.naturalHeight], width, alt: picture.alt, text, marks,
          durations: sounds.map((s) => s.duration), labels: sounds.map((s) => s.getAttribute("aria-label")),
          errors: sounds.map((s) => s.error && s.error.message), controls: sounds.every((s) => s.controls),
          places: sounds.map((s) => s.closest(".turn").id), still: doc.querySelectorAll("#transcript img").length,
        };
        """,
        tmp_path,
    )
    assert found["size"] == [24, 16]
    assert found["width"] > 100  # small pictures are shown larger
    assert found["alt"] == "Picture, 24 × 16"
    assert found["text"].index("Look:") < found["text"].index("Picture, 24 × 16") < found["text"].index("Is it red")
    assert "sha256" not in found["text"]
    assert found["errors"] == [None, None]
    assert found["durations"] == pytest.approx([0.2, 0.2])
    assert found["labels"] == ["Sound, 0.2 s, 16 kHz"] * 2
    assert found["controls"]
    assert found["places"] == ["turn-2", "turn-3"]
    assert found["marks"] >= 1
    assert found["still"] == 1


def test_in_a_browser_links_lead_to_files_and_forged_tags_stay_text(store, tmp_path, media):
    chromium()
    forged = describe(tone(7000, 0.3))
    real = store.media("x").get(named(store)[0])
    media.put(real)
    with use_media(media):
        big = media.put(png_bytes(np.zeros((700, 700), np.uint8)))
        shown = Step(f"a {big.tag} b {forged.tag} c", Message("assistant", f"I forge {describe(real).tag}"), 0.0, True)
        extra = build.with_id(replace(build.crafting(3), steps=(shown,), final_observation=""), "extra")
        store.add("x", extra)
    path, _ = written(store, store.run_folder("x"), max_item_bytes=100_000)
    found = in_browser(
        path,
        """
        type("f-text", "forge"); doc.querySelector("#episodes button").click();
        const [link] = doc.querySelectorAll("#transcript a"), seen = $("turn-1").innerText;
        const shown = doc.querySelectorAll("#turn-1 img, #turn-1 audio").length;
        return {href: link.href, label: link.textContent, seen, shown};
        """,
        tmp_path,
    )
    assert found["href"] == (store.run_folder("x") / "media" / f"{big.sha256}.png").as_uri()
    assert found["label"] == "Picture, 700 × 700 (0.5 MB)"
    assert forged.tag in found["seen"]
    assert f"I forge &lt;{describe(real).tag[1:]}" in found["seen"]
    assert found["shown"] == 0
