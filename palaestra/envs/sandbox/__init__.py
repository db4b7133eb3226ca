"""A sandbox for code that nobody trusts: tools of built environments, checkers, code as action.

`Sandbox` holds a bounded pool of workers, `load` takes a source, `Program.call` runs a function of it. Two executors: `monty`
(a Rust interpreter in worker processes of its own) and `process` (CPython in bubblewrap, one filtered child per program);
`auto` picks by a look at the syntax tree (`routing`) and never falls back to less confinement.
"""

from palaestra.envs.sandbox.results import SandboxResult, SandboxStatus
from palaestra.envs.sandbox.sandbox import Program, Sandbox

__all__ = ["Program", "Sandbox", "SandboxResult", "SandboxStatus"]
