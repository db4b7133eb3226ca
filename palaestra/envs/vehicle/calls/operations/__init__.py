"""What functions do: operations, named by the `op` of a function's row.

An operation is made once for each function: it reads its row and returns what is run on every call. In the `fixed` profile
arguments arrive checked; in `published` they arrive as given and the published behaviour, quirks included, is kept.
"""

from palaestra.envs.vehicle.calls.operations.registry import Operation, Run, compile_function, operation

__all__ = ["Operation", "Run", "compile_function", "operation"]
