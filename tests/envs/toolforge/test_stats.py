"""Sizes of sets of instances."""

import pytest

from palaestra.envs.toolforge import sizes_of, sizes_table
from palaestra.envs.toolforge.rows import instance_of_row
from tests.envs.toolforge.made import chain, made, parallel
from tests.envs.toolforge.published_data import rows


def test_sizes_by_hand():
    sizes = sizes_of([made(chain()), made(chain("b")), made(parallel())])
    assert list(sizes) == ["parallel_single_hop", "multi_hop", "all"]
    chains = sizes["multi_hop"]
    assert (chains.instances, chains.tools_mean, chains.nodes_mean, chains.distractors_mean) == (2, 3, 2, 1)
    assert chains.parameters_mean == pytest.approx(4 / 3)
    assert (chains.share("string"), chains.share("integer")) == (1, 0)
    assert sizes["all"].instances == 3
    table = sizes_table([made(chain())])
    assert table.rows[0][:6] == ("multi_hop", "1", "3.0", "2.0", "1.0", "1.3")
    assert sizes_table([]).rows == ()


@pytest.mark.parity
def test_sizes_of_the_published_rows():
    if not (found := rows("test.jsonl")):
        pytest.skip("no test.jsonl in the folders named by PALAESTRA_FIXTURES")
    sizes = sizes_of(instance_of_row(row) for row in found)
    wanted = {"single_hop": (8.0, 1), "parallel_single_hop": (7.5, 2), "multi_hop": (10.3, 5.7)}
    wanted["parallel_multi_hop"] = (11.3, 7.7)
    for name, (tools, nodes) in wanted.items():  # the means of the whole split, of which a part is shared
        assert sizes[name].tools_mean == pytest.approx(tools, rel=0.05)
        assert sizes[name].nodes_mean == pytest.approx(nodes, rel=0.05)
    assert sizes["all"].parameters_mean == pytest.approx(7, rel=0.05)
