"""The served pages in a real browser: on a phone, in both colour schemes, and while a run is written."""

from __future__ import annotations

import pytest

from palaestra.agents.evaluation.evaluation import evaluate_async
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.store.store import RunStore
from palaestra.media import MemoryMedia, use_media
from tests.agents.report import build
from tests.agents.report.test_phone import BEHIND_THE_EDGE
from tests.agents.view.serving import serving
from tests.browser import chromium, open_browser
from tests.media.gallery import ENV_ID

LONG = "20261130-120000-ab12-a-provider-a-model-of-which-the-name-has-no-end-2026-11-30-instruct"


@pytest.fixture
def runs(tmp_path):
    """Runs of every status, with long names."""
    chromium()
    path = tmp_path / "runs"
    with RunStore(path) as store:
        build.add_evaluation(store, n=8)
        build.add_training(store)
        config = {"kind": "evaluate", "agent": f"openai:{LONG}", "envs": [{"env_id": "palaestra/VehicleWorld-v0"}]}
        store.create_run(config, LONG)
        for i in range(30):
            store.add(LONG, build.with_id(build.cockpit(i), f"car-{i}"))
        store.set_status(LONG, "running", "300 planned")
        store.create_run({"kind": "evaluate", "agent": "m"}, "failed-1")
        store.set_status("failed-1", "failed", "ModelError: " + "the-server-answers-nothing-" * 9 + " (0 of 30 planned)")
    return path


async def test_no_page_is_cut_off_on_a_phone_in_either_scheme(runs, tmp_path):
    addresses = ["", f"run?run={LONG}", "run?run=train-1", f"compare?run={LONG}&run=eval-1&run=failed-1"]
    addresses += [f"episodes?run={LONG}", "episodes?run=eval-1&outcome=error", "run?run=failed-1"]
    with serving(runs) as server:
        async with open_browser(tmp_path) as tab:
            for width, dark in ((390, False), (390, True), (320, True), (1280, False)):
                await tab.resize(width, dark=dark)
                for address in addresses:
                    await tab.open(server.url + address)
                    assert await tab.too_wide() == [], (address, width)
                    if width == 390:
                        assert await tab.js(BEHIND_THE_EDGE) == [], address
            light, dark = "rgb(255, 255, 255)", "rgb(15, 18, 21)"
            for scheme in (False, True):
                await tab.resize(390, dark=scheme)
                await tab.open(server.url)
                assert await tab.js("getComputedStyle(document.body).backgroundColor") == (dark if scheme else light)
            assert tab.problems == []  # the policy of the pages allows all that they do


async def test_a_running_run_updates_on_its_page_and_in_the_list(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store, serving(tmp_path / "runs") as server:
        async with open_browser(tmp_path) as tab:
            await tab.resize(390)
            await tab.open(server.url)
            assert "No runs yet" in await tab.text()
            await tab.js("window.mark = 1")
            store.create_run({"kind": "evaluate", "agent": "a", "n": 4, "envs": [{"env_id": build.ENV_ID}]}, "r")
            store.set_status("r", "running", "4 planned")
            await tab.until("document.querySelector('#runs tr[data-run=r] .badge')?.textContent === 'running'")
            store.add("r", build.with_id(build.crafting(0), "e0"))
            await tab.until("document.querySelector('#runs').innerText.includes('1 of 4 planned')")
            await tab.js("document.querySelector('input[name=run]').click()")
            store.add("r", build.with_id(build.crafting(1), "e1"))
            await tab.until("document.querySelector('#runs').innerText.includes('2 of 4 planned')")
            assert await tab.js("document.querySelector('input[name=run]').checked") is True
            assert await tab.js("window.mark") == 1  # taken in, not loaded again

            await tab.open(f"{server.url}run?run=r")
            await tab.js("window.mark = 1; document.querySelector('#settings details').open = false")
            assert "50.0" not in await tab.text(".cards")
            store.add("r", build.with_id(build.crafting(2, solved=False), "e2"))
            store.add("r", build.with_id(build.crafting(3, solved=False), "e3"))
            await tab.until("document.querySelector('.far').textContent === '4 of 4 planned'")
            await tab.until("document.querySelector('.cards').innerText.includes('50.0')")
            assert await tab.js("getComputedStyle(document.querySelector('.bar i')).width") != "0px"
            assert await tab.js("document.querySelector('#settings details').open") is False
            store.set_status("r", "finished")
            await tab.until("document.querySelector('.badge').textContent === 'finished'")
            await tab.until("!document.querySelector('main').innerText.includes('was not finished')")
            assert await tab.js("window.mark") == 1
            assert await tab.too_wide() == []
            assert tab.problems == []


async def test_the_page_of_episodes_says_that_there_are_more_and_keeps_what_is_read(runs, tmp_path):
    with RunStore(runs) as store, serving(runs) as server:
        async with open_browser(tmp_path) as tab:
            await tab.resize(1280)
            await tab.open(f"{server.url}episodes?run={LONG}")
            assert await tab.text("#transcript h3") == "car/29"
            await tab.js("document.getElementById('next').click()")
            store.add(LONG, build.with_id(build.cockpit(99), "late"))
            await tab.until("!document.getElementById('newer').hidden")
            assert await tab.text("#transcript h3") == "car/28"
            await tab.js("window.palaestraOld = true; document.getElementById('newer').click()")
            await tab.until("!window.palaestraOld && document.querySelector('#transcript h3')?.textContent === 'car/99'")
            assert tab.problems == []


async def test_a_server_that_ends_is_told_and_one_that_comes_back_is_found(runs, tmp_path):
    async with open_browser(tmp_path) as tab:
        with serving(runs) as server:
            await tab.resize(390)
            await tab.open(server.url)
            port = server.port
            assert await tab.js("document.getElementById('stale').hidden") is True
        await tab.until("!document.getElementById('stale').hidden")
        assert "does not answer" in await tab.text("#stale")
        with serving(runs, port=port):
            await tab.until("document.getElementById('stale').hidden")


async def test_runs_are_filtered_and_compared_by_clicks(runs, tmp_path):
    with serving(runs) as server:
        async with open_browser(tmp_path) as tab:
            await tab.resize(1280)
            await tab.open(server.url)
            assert await tab.js("document.getElementById('compare-button').disabled") is True
            for run in ("eval-1", "train-1-trained"):
                await tab.js(f"document.querySelector('input[value=\"{run}\"]').click()")
            await tab.js("window.palaestraOld = true; document.getElementById('compare-button').click()")
            await tab.until("!window.palaestraOld && document.readyState === 'complete'")
            assert "5 arms" in await tab.text(".lede")
            await tab.open(server.url)
            script = "const one = document.querySelector('select[name=status]'); one.value = 'failed';"
            await tab.js(f"window.palaestraOld = true; {script} one.dispatchEvent(new Event('change', {{bubbles: true}}))")
            await tab.until("!window.palaestraOld && document.readyState === 'complete'")
            assert await tab.js("[...document.querySelectorAll('tr[data-run]')].map((row) => row.dataset.run)") == ["failed-1"]
            assert tab.problems == []


async def test_no_text_of_a_run_runs_in_a_page_or_in_what_is_taken_in_later(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store, serving(tmp_path / "runs") as server:
        hostile = "".join(build.HOSTILE[:3])
        store.create_run({"kind": "evaluate", "agent": hostile, "envs": [{"env_id": hostile}]}, "r")
        store.set_status("r", "running", "4 planned")
        async with open_browser(tmp_path) as tab:
            for address in ("", "run?run=r", "episodes?run=r"):
                await tab.open(server.url + address)
                number = await tab.js("document.body.dataset.version")
                store.add("r", build.office(len(address), hostile=hostile))
                store.set_status("r", "running", f"{hostile} 4 planned")
                if address != "episodes?run=r":
                    await tab.until(f"document.body.dataset.version !== '{number}'")
                assert "OWNED" not in await tab.js("document.title")
                assert await tab.js("document.querySelectorAll('main img, main svg[onload], main script').length") == 0
            assert "<img src=x" in await tab.text()
            assert not [text for text in tab.problems if "Content Security" in text]


async def test_the_policy_lets_pictures_and_sounds_of_a_run_be_seen_and_heard(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store, use_media(MemoryMedia()):
        await evaluate_async(ENV_ID, ExpertAgent(), n=1, store=store, run_id="x")
    with serving(tmp_path / "runs") as server:
        async with open_browser(tmp_path) as tab:
            await tab.resize(390)
            await tab.open(f"{server.url}episodes?run=x")
            await tab.until("document.querySelector('.media img')?.naturalWidth > 0")
            await tab.until("document.querySelector('.media audio')?.readyState >= 1")
            assert await tab.too_wide() == []
            assert tab.problems == []
