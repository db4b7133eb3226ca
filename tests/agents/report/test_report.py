from __future__ import annotations

import base64
import hashlib
import re
import sys

import pytest

from palaestra.agents.report import TranscriptLimits, render_report, write_report
from palaestra.agents.store.store import RunStore
from palaestra.cli.controls import printable
from palaestra.errors import StoreError, UnknownNameError, UsageError
from palaestra.types import Message, Outcome, Step, ToolCall, Trajectory
from tests.agents.report import build
from tests.agents.report.page import parse

STEERS = "".join(map(chr, (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


@pytest.fixture
def store(tmp_path):
    with RunStore(tmp_path / "runs") as opened:
        yield opened


def test_an_evaluation_shows_each_arm_with_its_interval_and_errors_apart(store):
    run = build.add_evaluation(store)
    page = parse(render_report([run], store=store))
    # cloned: 40 episodes, 2 errors, 20 of 38 solved: Wilson 95 % is 37.3 to 67.5 %
    assert re.search(r"cloned 52\.6 % 37\.3 – 67\.5 % 0\.0 % random \+52\.6 \+\S+ to \+\S+ 0\.526 \S+ – \S+ 4 38 2", page.text)
    assert "trained 90.0 % 76.9 – 96.0 %" in page.text
    assert "Best success · trained 90.0 %" in page.text  # the expert is the bound, no contender
    assert "model cloned ModelError 2 The server answered 500." in page.text
    whiskers = [attributes["aria-label"] for tag, attributes in page.tags if "whisker" in (attributes.get("class") or "")]
    assert "success 52.6 percent, 95 percent interval 37.3 to 67.5" in whiskers
    assert len(whiskers) == 4 + 3 * 4  # arms, and three task types of each


def test_a_report_takes_a_store_or_its_folder(store, tmp_path):
    build.add_evaluation(store, n=4)
    of_store = write_report(tmp_path / "a.html", ["eval-1"], store=store).read_bytes()
    store.close()
    for number, folder in enumerate((store.folder, str(store.folder))):
        assert write_report(tmp_path / f"{number}.html", ["eval-1"], store=folder).read_bytes() == of_store
    with pytest.raises(StoreError, match="no-such-folder"):
        write_report(tmp_path / "b.html", ["eval-1"], store=tmp_path / "no-such-folder")
    assert not (tmp_path / "no-such-folder").exists()


def test_the_file_needs_nothing_else_and_allows_only_its_own_script(store):
    html = render_report([build.add_evaluation(store, n=4)], store=store)
    page = parse(html)
    assert {tag for tag, _ in page.tags} & {"img", "link", "iframe", "object", "embed", "base"} == set()
    links = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links)
    assert "url(" not in html.replace("url(#", "")
    assert "@import" not in html
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    executable = [body for attributes, body in page.scripts if attributes.get("type") != "application/json"]
    assert len(executable) == 1
    digest = base64.b64encode(hashlib.sha256(executable[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_text_stays_text(store):
    store.create_run({"kind": "evaluate", "note": "".join(build.HOSTILE)}, "x")
    for i, hostile in enumerate(build.HOSTILE):
        store.add("x", build.office(i, hostile=hostile))
        store.add("x", build.with_id(build.broken(i, text=hostile), f"broken-{i}"))
    html = render_report(["x"], store=store, title=build.HOSTILE[0])
    page = parse(html)
    assert len(page.scripts) == 2
    assert not [a for tag, a in page.tags if tag == "img" or any(name.startswith("on") for name in a)]
    assert "<script>document" not in html
    assert "</script><script>document.title='OWNED'</script>" in page.text  # the arm's name, as text
    assert page.data["episodes"][0]["steps"][0]["content"].startswith("I look.")
    contents = [step["content"] for episode in page.data["episodes"] for step in episode["steps"]]
    assert all(any(hostile in content for content in contents) for hostile in build.HOSTILE)


def test_surrogates_and_numbers_that_json_does_not_know_do_not_break_the_page(store):
    store.create_run({}, "odd")
    call = ToolCall("say", {"x": float("nan"), "y": [float("inf")]})
    step = Step("\ud800 seen", Message("assistant", "a\udfff", (call,)), 0.0, terminated=True)
    task = {"key": "k\ud83d", "split": "test", "type": "t\ud83d"}
    store.add(
        "odd", Trajectory("e", build.ENV_ID, task, agent="a\ud83d", steps=(step,), outcome=Outcome(0.0, False, "failure"))
    )
    store.add("odd", build.with_id(build.broken(1, text="\ud800"), "broken\udc00"))
    path = write_report(store.folder / "odd.html", ["odd"], store=store, title="odd \ud800")
    page = parse(path.read_text(encoding="utf-8"))
    assert page.data["episodes"][0]["steps"][0]["calls"][0]["arguments"] == {"x": None, "y": [None]}


def test_a_training_run_brings_its_arms_curves_and_horizon_marks(store):
    run = build.add_training(store)
    html = render_report([run], store=store)
    page = parse(html)
    assert "Palaestra training report textcraft tiny" in page.text
    assert "untrained 15.0 %" in page.text
    assert "trained 80.0 %" in page.text
    assert "8 turns from step 41, 12 turns from step 81" in page.text
    labels = [a["aria-label"] for tag, a in page.tags if tag == "svg" and "aria-label" in a]
    assert "grpo/test_success by training step" in labels
    assert labels.index("grpo/test_success by training step") == 0
    assert len(labels) == len(set(labels)) == 8
    drawn = html[html.index("<svg role=") :]
    assert "var(--accent)" in drawn
    assert not re.search(r"#0102\w\w", drawn)  # every stand-in colour became a variable
    identifiers = re.findall(r' id="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_without_matplotlib_the_values_are_there_and_the_extra_is_named(store, monkeypatch):
    run = build.add_training(store)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = parse(render_report([run], store=store))
    assert "palaestra[plots]" in page.text
    assert not [a for tag, a in page.tags if tag == "svg" and "aria-label" in a]
    assert re.search(r"grpo/horizon train-1 4 4 12 12 120", page.text)


def test_several_runs_stand_side_by_side_and_names_tell_them_apart(store):
    first = build.add_evaluation(store, n=4, run_id="a", agents=("cloned",))
    second = build.add_evaluation(store, n=6, run_id="b", agents=("cloned", "expert"))
    page = parse(render_report([first, second], store=store))
    assert [arm["name"] for arm in page.data["arms"]] == ["cloned · a", "cloned · b", "expert"]


def test_arms_of_one_comparison_are_told_apart_by_the_end_of_their_runs(store):
    ids = ["today-7a-cloned-fc", "today-7a-cloned-sfc", "today-7a-expert-fc"]
    for run, agent in zip(ids, ("cloned", "cloned", "expert"), strict=True):
        build.add_evaluation(store, n=2, run_id=run, agents=(agent,))
    page = parse(render_report(ids, store=store))
    assert [arm["name"] for arm in page.data["arms"]] == ["cloned · fc", "cloned · sfc", "expert"]


def test_the_sample_of_transcripts_is_bounded_fair_and_says_so(store):
    run = build.add_evaluation(store, n=60, agents=("random", "cloned"))
    page = parse(render_report([run], store=store, limits=TranscriptLimits(max_transcripts=24)))
    data = page.data
    assert len(data["episodes"]) == 24
    assert "24 of 120 episodes" in page.text
    assert {episode["outcome"] for episode in data["episodes"]} == {"success", "failure", "error"}
    assert {episode["arm"] for episode in data["episodes"]} == {0, 1}
    ids = [episode["id"] for episode in data["episodes"]]
    assert "random/0" in ids
    assert "random/59" in ids
    assert len(data["texts"]) == 2  # instructions are kept once, and the empty text of the tools


def test_the_size_is_bounded_in_characters_too(store):
    store.create_run({}, "big")
    for i in range(30):
        store.add("big", build.with_id(build.crafting(i, extra="x" * 50_000), f"e{i}"))
    limits = TranscriptLimits(max_chars=100_000, max_text_chars=10_000)
    html = render_report(["big"], store=store, limits=limits)
    data = parse(html).data
    assert 1 < len(data["episodes"]) < 12
    assert "further characters left out of this report" in data["episodes"][0]["steps"][0]["observation"]
    assert len(html) < 250_000


def test_long_episodes_are_cut_with_a_note(store):
    store.create_run({}, "long")
    trajectory = build.crafting(0)
    steps = trajectory.steps[:1] * 50 + trajectory.steps[-1:]
    store.add("long", Trajectory.from_json({**trajectory.to_json(), "steps": [s.to_json() for s in steps], "segments": []}))
    episode = parse(render_report(["long"], store=store, limits=TranscriptLimits(max_turns=20))).data["episodes"][0]
    assert (episode["turns"], len(episode["steps"]), episode["left_out_turns"]) == (51, 20, 31)


def test_samples_of_a_task_bring_avg_and_pass_at_k(store):
    store.create_run({}, "k")
    for i in range(6):
        for sample in range(2):
            data = build.crafting(i, solved=(i + sample) % 2 == 0).to_json()
            store.add("k", Trajectory.from_json({**data, "episode_id": f"{i}#{sample}", "group_id": str(i), "sample": sample}))
    page = parse(render_report(["k"], store=store))
    assert "Avg@2 Pass@2 Pass^2" in page.text
    assert re.search(r"cloned 50\.0 % .* 0\.500 100\.0 % 0\.0 % 4 12 0", page.text)


def test_an_unfinished_or_empty_run_says_so(store):
    store.create_run({"kind": "evaluate"}, "empty")
    store.set_status("empty", "stopped", "the budget is spent.")
    page = parse(render_report(["empty"], store=store))
    assert "Run empty stopped: the budget is spent; its numbers are those so far" in page.text
    assert "No episode has been stored yet." in page.text


def test_the_action_that_met_an_error_is_shown(store):
    store.create_run({}, "u")
    data = {
        **build.broken(1, "environment").to_json(),
        "meta": {"unfinished_action": {"role": "assistant", "content": "open door"}},
    }
    store.add("u", Trajectory.from_json(data))
    episode = parse(render_report(["u"], store=store)).data["episodes"][0]
    assert episode["steps"][-1]["content"] == "open door"
    assert episode["error"]["boundary"] == "environment"


def test_the_same_store_gives_the_same_page(store):
    run = build.add_training(store, steps=20)
    assert render_report([run], store=store) == render_report([run], store=store)


def test_mistakes_are_told_in_one_line(store, tmp_path):
    run = build.add_evaluation(store, n=2, agents=("expert",))
    with pytest.raises(UsageError, match="at least one run"):
        write_report(tmp_path / "r.html", [], store=store)
    with pytest.raises(UnknownNameError, match="eval-1"):
        write_report(tmp_path / "r.html", ["eval-2"], store=store)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(tmp_path / "file" / "r.html", [run], store=store)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(tmp_path / "folder", [run], store=store)
    assert not list(tmp_path.glob(".*draft"))


def test_overrides_of_the_writing_direction_stay_in_their_texts(store):
    run = store.create_run({}, "turned")
    store.add(run, Trajectory.from_json({**build.crafting(0).to_json(), "agent": "clo\u202ened\u200f"}))
    store.set_status("turned", "failed", "disk \u2066full\u061c")
    store.set_config("turned", {**store.config("turned"), "name": "x\u202d\u200ey שלום"})
    html = render_report([run], store=store, title="a\u202eb")
    assert not [c for c in html if c in STEERS]
    page = parse(html)
    assert "a\\u202eb" in page.text
    assert "x\\u202d\\u200ey שלום" in page.text, "letters from right to left are read"
    assert "disk \\u2066full\\u061c" in page.text
    assert [arm["name"] for arm in page.data["arms"]] == ["clo\u202ened\u200f"], "transcripts lose nothing"
    assert {printable(c) for c in STEERS} == {f"\\u{ord(c):04x}" for c in STEERS}, "the terminal shows the same"
