"""An agent added from outside: reads the level that is asked for and presses so often."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class Presser:
    """Presses the button of a lamp.

    Args:
        hurry: Press as often as needed at once, not once a turn.
    """

    name = "toys_presser"

    def __init__(self, hurry: bool = False) -> None:
        """Keep the setting."""
        self.hurry = hurry
        self.wanted = 1

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Press."""
        if found := re.search(r"level (\d)", observation):
            self.wanted = int(found[1])
        return f"press {self.wanted if self.hurry else 1}"
