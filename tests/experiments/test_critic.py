import json
import math

from experiments.common.rows import folder_of, read_rows
from experiments.critic.page import interval, page, paired, share


def test_figures_count_only_episodes_with_an_error():
    assert share("1-01") == (2, 3)
    assert paired("1-01", "11-1") == (0.0, 2)
    assert paired("0--", "-11")[1] == 0
    assert math.isnan(paired("0--", "-11")[0])
    mean, low, high = interval([0.1, 0.2, 0.3])
    assert (round(mean, 3), round(low, 3), round(high, 3)) == (0.2, -0.048, 0.448)


def test_the_page_is_made_of_the_rows():
    figures = {"solved": "01-1", "recovered": "11-1"}
    seen = {"clean": figures, "outage": figures, "slip": figures}
    rows = [{"arm": arm, "seed": seed, **seen} for arm in ("flawless", "errors") for seed in (0, 1)]
    text = page(json.loads(json.dumps(rows)))
    assert "| 1 | 2 of 3 | 2 of 3 | +0.000 | 3 |" in text
    assert "Mean over 2 seeds +0.000" in text
    assert "Seed 0, flawless, solved: clean 2 of 3, outage 2 of 3, slip 2 of 3." in page(rows[:1])
    assert "One seed, +0.000: there is no interval." in page([rows[0], rows[2]])
    kept = folder_of("critic")
    assert (kept / "README.md").read_text(encoding="utf-8") == page(read_rows(kept / "rows.jsonl"))
