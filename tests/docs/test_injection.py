import re
from pathlib import Path

from palaestra.envs.wrappers.injection import KINDS, LABELS

PAGE = Path(__file__).parents[2] / "docs" / "injection.md"


def test_the_example_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    *failures, end = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in failures if line.startswith("rate_limit")] == ["rate_limit 1", "rate_limit 2"]
    assert end == "True retry_succeeded"


def test_the_page_lists_every_label_and_kind():
    table = PAGE.read_text(encoding="utf-8").partition("| family |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert {*LABELS, *(kind for kinds in KINDS.values() for kind in kinds)} <= named
