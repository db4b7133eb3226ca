from __future__ import annotations

from pathlib import Path

import pytest

from palaestra.errors import StoreError
from palaestra.media import FolderMedia, MemoryMedia, tone
from palaestra.media.overlay import OverlayMedia


def test_what_is_put_is_found_and_the_store_below_stays_as_it_is(tmp_path: Path) -> None:
    base = FolderMedia(tmp_path / "media")
    low = base.put(tone(220, 0.05))
    before = sorted(path.name for path in base.folder.iterdir())
    overlay = OverlayMedia(base)
    high = overlay.put(tone(880, 0.05))
    overlay.put(tone(220, 0.05))
    assert (overlay.get(low), overlay.get(high)) == (tone(220, 0.05), tone(880, 0.05))
    assert (list(overlay), len(overlay)) == (sorted([low.sha256, high.sha256]), 2)
    assert overlay.holds(low)
    assert overlay.holds(high)
    assert high not in base
    assert sorted(path.name for path in base.folder.iterdir()) == before
    with pytest.raises(StoreError, match="does not hold"):
        OverlayMedia(MemoryMedia()).get(low)
