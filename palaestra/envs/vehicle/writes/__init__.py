"""The second way to act on a car: writing its state (state-based function call).

    writes = parse_writes("vw['environment']['volume'] = 60")
    result = apply_writes(world, writes)

`syntax` reads and writes the three syntaxes, `writing` carries writes out, `plan`
finds the writes that turn one state into another; paths are resolved by `car.places`.
"""

from palaestra.envs.vehicle.writes.plan import writes_between
from palaestra.envs.vehicle.writes.syntax import SYNTAXES, Syntax, Write, extract_writes, format_writes, parse_writes
from palaestra.envs.vehicle.writes.writing import WriteResult, apply_writes

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
