import re

import numpy as np
import pytest

from palaestra.envs.wrappers.injection import EXTENDED, EXTERNAL, damaged, outage_message
from palaestra.envs.wrappers.injection.outages import PAYLOADS, templates
from palaestra.errors import UnknownNameError


def test_every_label_has_messages_or_is_a_payload():
    assert set(templates()) | set(PAYLOADS) == {*EXTERNAL, *EXTENDED}
    assert all(len(set(texts)) >= 6 for texts in templates().values())


@pytest.mark.parametrize("label", sorted(templates()))
def test_messages_are_filled_in_and_name_neither_their_label_nor_that_they_are_made(label):
    rng = np.random.default_rng(1)
    drawn = {outage_message(label, "find_notes", rng) for _ in range(200)}
    assert len(drawn) > 20
    for text in drawn:
        words = re.sub(r"[\s_]+", "_", text.lower())
        assert label not in words
        assert not re.search(r"inject|simulat", words)
        assert not re.search(r"\{(tool|seconds|percent|count|code|id)\}", text)


def test_damaged_results_differ_from_the_genuine_one():
    rng = np.random.default_rng(0)
    genuine = '[{"id": "E2", "title": "Solar photos"}]'
    assert damaged("empty_response", genuine, rng) == ""
    cut = damaged("truncated_payload", genuine, rng)
    assert genuine.startswith(cut)
    assert len(cut) < len(genuine)
    broken = damaged("malformed_payload", genuine, rng)
    assert len(broken) == len(genuine)
    assert broken != genuine
    assert damaged("malformed_payload", "done", rng) is None


def test_unknown_labels_are_refused():
    with pytest.raises(UnknownNameError):
        outage_message("parameters_key_error", "x", np.random.default_rng(0))
    with pytest.raises(UnknownNameError):
        damaged("rate_limit", "x", np.random.default_rng(0))
