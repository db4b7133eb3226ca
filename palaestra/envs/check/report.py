"""What a check says: one `CheckResult` per promise, together a `CheckReport`."""

from __future__ import annotations

from dataclasses import dataclass

from palaestra.types import Json


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether one promise of the contract is kept.

    Attributes:
        name: What was checked, e.g. "snapshot".
        ok: Whether it holds, or does not apply.
        detail: What was seen; begins with "does not apply" where there was nothing to check.
        fix: If it fails: how to fix it.
    """

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that was checked on one environment.

    Attributes:
        env_id: The environment, with the arguments it was made with.
        results: One per check, in the order they ran.
    """

    env_id: str
    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(result.ok for result in self.results)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if not result.ok)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"env_id": self.env_id, "ok": self.ok, "results": [result.to_json() for result in self.results]}

    def __str__(self) -> str:
        """Return one line per check, and under a failed one how to fix it."""
        lines = [f"{self.env_id}: {len(self.results) - len(self.failures)} of {len(self.results)} checks passed"]
        for result in self.results:
            lines.append(
                f"  {'ok  ' if result.ok else 'FAIL'} {result.name}" + (f": {result.detail}" if result.detail else "")
            )
            if not result.ok and result.fix:
                lines.append(f"       -> {result.fix}")
        return "\n".join(lines)


class CheckFailed(Exception):
    """A promise is broken; raised inside a check.

    Attributes:
        detail: What was seen.
        fix: How to fix it; empty for the check's usual advice.
    """

    def __init__(self, detail: str, fix: str = "") -> None:
        """Keep both."""
        super().__init__(detail)
        self.detail = detail
        self.fix = fix


def expect(condition: object, detail: str, fix: str = "") -> None:
    """Fail the check unless `condition` holds."""
    if not condition:
        raise CheckFailed(detail, fix)
