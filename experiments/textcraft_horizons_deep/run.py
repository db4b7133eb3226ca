"""As `textcraft_horizons`, from better clones: does a growing horizon help where depth can be reached?

python -m experiments.textcraft_horizons_deep.run --work FOLDER
"""

from __future__ import annotations

import dataclasses
import sys

from experiments.common.from_clones import main
from experiments.textcraft_horizons.run import EXPERIMENT as SHALLOW

EXPERIMENT = dataclasses.replace(
    SHALLOW,
    name="textcraft_horizons_deep",
    tables={**SHALLOW.tables, "sft": {"epochs": 4}},
    title="A growing horizon against fixed ones, on TextCraft, from better clones",
    about=(
        SHALLOW.about[0],
        "As in `textcraft_horizons`, but the clones have read the expert's play four times and not once: on the seed on "
        "which this was tried (100) such a clone solves 7 % of the tasks of depth 2, which take more than four turns, so that "
        "a longer horizon has something to give.",
    ),
    remarks=(),
)


if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
