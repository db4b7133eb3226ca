"""Answers kept on disk: the same request to the same model is asked once.

One SQLite file. The key is a digest of everything that shapes an answer: backend, messages, tools and sampling, and of a
sampled answer which sample it is. The session is not part of it where answers do not depend on it. Several processes may
share a file. Sounds in answers are kept with them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from palaestra.agents.core import Generation, Request, Sampling, Tokens
from palaestra.errors import StoreError
from palaestra.media.items import Media
from palaestra.media.store import current_media
from palaestra.types import Json, Message, Usage, plain

_log = logging.getLogger(__name__)

_FORMAT = 1  # part of every key: raised when stored answers would be read wrongly
_WAIT_S = 10.0  # for another process that is writing


def request_key(backend: str, request: Request, sample: Sequence[str | int] = ()) -> str:
    """Return the digest under which the answer to `request` is kept.

    Args:
        backend: Name of the backend; it says model and server.
        request: The question.
        sample: What tells this sample from others of the request; empty where there is one answer, or for the first.
    """
    sampling = {field.name: plain(getattr(request.sampling, field.name)) for field in fields(Sampling)}
    question = {
        "format": _FORMAT,
        "backend": backend,
        "messages": [message.to_json() for message in request.messages],
        "tools": [plain(tool) for tool in request.tools],
        "sampling": sampling,
        **({"sample": list(sample)} if sample else {}),
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_deterministic(sampling: Sampling) -> bool:
    """Tell whether asking again should give the same answer: greedy, or sampled with a seed."""
    return sampling.temperature == 0 or sampling.seed is not None


class ResponseCache:
    """A file of answers.

    Attributes:
        path: The SQLite file.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file, or make it with its folder.

        Raises:
            StoreError: If it cannot be opened or is not a cache.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._can_write = True
        with self._lock:
            self._connection()

    def get(self, key: str) -> Generation | None:
        """Return the answer kept under `key`: its prompt tokens counted as cached, at no cost, as no call."""
        with self._lock:
            try:
                row = self._connection().execute("SELECT generation FROM responses WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error as error:
                raise self._broken(error) from error
        if row is None:
            return None
        try:
            generation = _generation_from_json(json.loads(row[0]))
        except (ValueError, TypeError, KeyError):
            return None  # written by another version; it is asked and written again
        if generation.message.media and not self._bring_media(generation.message.media):
            return None
        prompt, completion = generation.usage.prompt_tokens, generation.usage.completion_tokens
        usage = Usage(prompt_tokens=prompt, cached_tokens=prompt, completion_tokens=completion)
        return replace(generation, usage=usage)

    def put(self, key: str, generation: Generation) -> None:
        """Keep an answer. If the disk is full or the file read-only, say so once and go on without."""
        text = json.dumps(_generation_to_json(generation))
        with self._lock:
            if not self._can_write:
                return
            try:
                with self._connection() as connection:
                    for media in generation.message.media:
                        row = (media.sha256, current_media().get(media))
                        connection.execute("INSERT OR REPLACE INTO media VALUES (?, ?)", row)
                    connection.execute("INSERT OR REPLACE INTO responses VALUES (?, ?)", (key, text))
            except (sqlite3.Error, StoreError) as error:
                self._can_write = False
                _log.warning("The response cache '%s' cannot be written (%s); answers are no longer kept.", self.path, error)

    def __len__(self) -> int:
        """Return the number of answers."""
        with self._lock:
            return int(self._connection().execute("SELECT COUNT(*) FROM responses").fetchone()[0])

    def close(self) -> None:
        """Close the file; it opens again when it is next used."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def _bring_media(self, named: tuple[Media, ...]) -> bool:
        """Put the media of a kept answer into the current store; tell whether all were here."""
        with self._lock:
            query = "SELECT data FROM media WHERE sha256 = ?"
            rows = [self._connection().execute(query, (media.sha256,)).fetchone() for media in named]
        if not all(rows):
            return False
        current_media().add((media, row[0]) for media, row in zip(named, rows, strict=True))
        return True

    def _connection(self) -> sqlite3.Connection:
        """Return this process's connection: SQLite's must not be carried over a fork."""
        if self._opened is not None and self._opened[0] == os.getpid():
            return self._opened[1]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_WAIT_S, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from error
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # an answer lost in a power cut is only asked again
            connection.execute("CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, generation TEXT NOT NULL)")
            connection.execute("CREATE TABLE IF NOT EXISTS media (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL)")
        except sqlite3.Error as error:
            connection.close()
            raise self._broken(error) from error
        weakref.finalize(self, connection.close)
        self._opened = (os.getpid(), connection)
        return connection

    def _broken(self, error: Exception) -> StoreError:
        """Return the error for a file that cannot be used."""
        return StoreError(f"The response cache '{self.path}' cannot be used ({error}). Give another path or delete the file.")


def _generation_to_json(generation: Generation) -> dict[str, Json]:
    """Return a generation as plain data."""
    tokens = generation.tokens
    return {
        "message": generation.message.to_json(),
        "finish_reason": generation.finish_reason,
        "usage": generation.usage.to_json(),
        "tokens": None if tokens is None else {field.name: plain(getattr(tokens, field.name)) for field in fields(Tokens)},
    }


def _generation_from_json(data: dict[str, Any]) -> Generation:
    """Rebuild a generation."""
    tokens = data["tokens"]
    if tokens is not None:
        ids = {key: tuple(tokens[key]) for key in ("prompt_ids", "completion_ids", "log_probs")}
        tokens = Tokens(**ids, version=tokens["version"], stop=tokens["stop"])
    return Generation(Message.from_json(data["message"]), data["finish_reason"], Usage.from_json(data["usage"]), tokens)
