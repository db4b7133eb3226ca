"""Published ids that count without gaps: `MAPPING#0` to `MAPPING#(N-1)`, with a key computed from each number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from palaestra.envs.core.task_aliases import mapping_of


class NumberedAliases(Mapping[str, str]):
    """Keys of tasks by published id, computed when they are asked for; read-only.

    Args:
        mapping: Name of the mapping.
        size: Number of ids.
        key: The key of a number: a text with one `{}` for it, or a function.
    """

    def __init__(self, mapping: str, size: int, key: str | Callable[[int], str]) -> None:
        """Keep the rule."""
        self._mapping = mapping
        self._size = size
        self._key = key

    def __getitem__(self, alias: str) -> str:
        """Return the key that a published id leads to."""
        number = alias.rpartition("#")[2] if isinstance(alias, str) and mapping_of(alias) == self._mapping else ""
        if not number or int(number) >= self._size:
            raise KeyError(alias)
        return self._key.format(int(number)) if isinstance(self._key, str) else self._key(int(number))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the published ids."""
        return (f"{self._mapping}#{number}" for number in range(self._size))

    def __len__(self) -> int:
        """Return the number of published ids."""
        return self._size

    def __repr__(self) -> str:
        """Show mapping and number."""
        return f"NumberedAliases({self._mapping!r}, {self._size})"


__all__ = ["NumberedAliases"]
