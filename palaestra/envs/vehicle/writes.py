"""The second way to act on a car: writing its state (state-based function call).

    writes = parse_writes("vw['environment']['volume'] = 60")
    result = apply_writes(world, writes)

`write_syntax` reads and writes the three syntaxes, `places` resolves paths, `writing` carries writes out, `write_plan`
finds the writes that turn one state into another.
"""

from palaestra.envs.vehicle.write_plan import writes_between
from palaestra.envs.vehicle.write_syntax import SYNTAXES, Syntax, Write, extract_writes, format_writes, parse_writes
from palaestra.envs.vehicle.writing import WriteResult, apply_writes

__all__ = [
    "SYNTAXES",
    "Syntax",
    "Write",
    "WriteResult",
    "apply_writes",
    "extract_writes",
    "format_writes",
    "parse_writes",
    "writes_between",
]
