"""Key/value caches that many dialogues share: one row of a big tensor per session, kept from turn to turn.

`SlotDecoder` runs any transformers causal LM whose layers all attend to the whole past. Sequences of different length
are decoded in one batch without padding the past: each query names its row and its column, and a four-dimensional
mask says what it sees. `PlainDecoder` serves every other model (sliding windows, state spaces) one sequence at a time
with the model's own cache. `make_decoder` tries the first on a few tokens and falls back to the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from palaestra.errors import MissingExtraError

try:
    import torch
    from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer
except ImportError as error:
    raise MissingExtraError("Sampling from local weights", "train") from error

_SMALLEST_CAPACITY = 128
_LONGEST_READ = 1024  # tokens of a sequence in one forward; bounds the mask, which has this many rows
_SHORTEST_SHARED = 16  # tokens; copying less is not worth while


@dataclass(eq=False, slots=True)
class CachedSequence:
    """Tokens of one session and how much of them a decoder has cached.

    Attributes:
        ids: All tokens, prompt first.
        cached: Keys and values are kept for `ids[:cached]`.
        busy: Being decoded, so never evicted.
        row: Row of the slot cache; -1 if none.
        last_used: Clock of the decoder at the last use, for eviction.
        native: The model's own cache, its keyword and the tokens it holds (plain decoder only).
    """

    ids: list[int] = field(default_factory=list)
    cached: int = 0
    busy: bool = False
    row: int = -1
    last_used: int = 0
    native: tuple[str, Any, int] | None = None

    def rewrite(self, ids: Sequence[int]) -> None:
        """Replace the tokens; what both versions begin with stays cached, except the last token of the new one."""
        fresh = list(ids)
        self.cached = _common_length(self.ids, fresh, min(self.cached, len(fresh) - 1))
        self.ids = fresh


class Decoder(Protocol):
    """Computes next-token logits for sequences and keeps what it needs to go on quickly.

    Attributes:
        keeps_turns: Whether what is cached is of use after the turn.
    """

    keeps_turns: bool

    def advance(self, sequences: Sequence[CachedSequence]) -> Any:
        """Feed the tokens of each sequence that are not cached yet.

        Args:
            sequences: Each with at least one token that is not cached.

        Returns:
            Logits of the next token, shape (len(sequences), vocabulary).
        """
        ...

    def share(self, sequence: CachedSequence) -> None:
        """Take over what is cached of another sequence with the same beginning, if there is one."""
        ...

    def release(self, sequence: CachedSequence) -> None:
        """Forget one sequence."""
        ...

    def invalidate(self) -> None:
        """Forget everything cached, because the weights changed."""
        ...


def make_decoder(model: Any, *, num_rows: int, max_length: int, cache_bytes: int) -> Decoder:
    """Choose the fastest decoder that computes what the model's own forward computes.

    Args:
        model: A transformers causal LM.
        num_rows: Most sequences kept between turns.
        max_length: Longest sequence in tokens.
        cache_bytes: Bound on the memory of sequences kept between turns.
    """
    if _attends_to_everything(model):
        probe = SlotDecoder(model, num_rows=2, max_length=8, cache_bytes=cache_bytes)
        if _agrees(model, probe):
            return SlotDecoder(model, num_rows=num_rows, max_length=max_length, cache_bytes=cache_bytes)
    return PlainDecoder(model)


class SlotDecoder:
    """Batched decoding over a slotted cache.

    Args:
        model: A causal LM whose layers all attend to the whole past.
        num_rows: Most sequences kept at a time; the least recently used idle one makes room.
        max_length: Longest sequence in tokens.
        cache_bytes: Bound on the memory of keys and values: when sequences get long, fewer idle ones are kept. Busy
            sequences always have room.
    """

    keeps_turns = True

    def __init__(self, model: Any, *, num_rows: int, max_length: int, cache_bytes: int) -> None:
        """Allocate nothing yet: widths and data type show at the first forward."""
        self._model = model
        self._num_rows = num_rows
        self._max_length = max_length
        self._cache_bytes = cache_bytes
        self._place = _Place()
        self._layers = [_SlotLayer(self._place) for _ in range(_num_layers(model))]
        self._cache = Cache(layers=self._layers)
        self._owners: list[CachedSequence | None] = []
        self._clock = 0
        self._seen = torch.zeros((), dtype=model.dtype, device=model.device)
        self._unseen = torch.full((), torch.finfo(model.dtype).min, dtype=model.dtype, device=model.device)

    @property
    def num_kept(self) -> int:
        """Sequences with a row."""
        return sum(owner is not None for owner in self._owners)

    @property
    def nbytes(self) -> int:
        """Memory of keys and values."""
        return sum(layer.nbytes for layer in self._layers)

    def advance(self, sequences: Sequence[CachedSequence]) -> Any:
        """See `Decoder.advance`."""
        self._clock += 1
        for sequence in sequences:
            sequence.last_used = self._clock
        self._make_room(sequences)
        single = all(len(sequence.ids) - sequence.cached == 1 for sequence in sequences)
        # Computing a few idle rows is cheaper than copying the busy ones out of the big tensor at every step.
        if single and max(sequence.row for sequence in sequences) < 3 * len(sequences):
            return self._run_window(sequences)
        rows: list[Any] = [None] * len(sequences)
        pending = list(range(len(sequences)))
        while pending:
            logits = self._run_rows([sequences[i] for i in pending])
            for i, row in zip(pending, logits, strict=True):
                rows[i] = row
            if len(pending) == len(rows) and all(s.cached == len(s.ids) for s in sequences):
                return logits
            pending = [i for i in pending if sequences[i].cached < len(sequences[i].ids)]
        return torch.stack(rows)

    def share(self, sequence: CachedSequence) -> None:
        """See `Decoder.share`."""
        if sequence.cached:
            return
        best, donor = _SHORTEST_SHARED - 1, None
        for owner in self._owners:
            if owner is not None and owner.cached > best:
                same = _common_length(owner.ids, sequence.ids, min(owner.cached, len(sequence.ids) - 1))
                if same > best:
                    best, donor = same, owner
        if donor is None:
            return
        donor.last_used = self._clock + 1  # not the one to make room
        self._make_room([sequence])
        if donor.row >= 0:
            for layer in self._layers:
                layer.copy(donor.row, sequence.row, best)
            sequence.cached = best

    def release(self, sequence: CachedSequence) -> None:
        """See `Decoder.release`."""
        if sequence.row >= 0:
            self._owners[sequence.row] = None
        sequence.row, sequence.cached = -1, 0

    def invalidate(self) -> None:
        """See `Decoder.invalidate`."""
        for owner in self._owners:
            if owner is not None:
                owner.row, owner.cached = -1, 0
        self._owners = [None] * len(self._owners)
        with torch.inference_mode():
            for layer in self._layers:
                layer.reset()  # a diverged policy may have left NaN, and a weight of zero times NaN is NaN

    def _run_window(self, sequences: Sequence[CachedSequence]) -> Any:
        """One token each: rows 0..window are computed in place, idle ones among them write to the scratch column."""
        window = max(sequence.row for sequence in sequences) + 1
        tokens, columns = [[0]] * window, [[-1]] * window
        for sequence in sequences:
            tokens[sequence.row] = [sequence.ids[-1]]
            columns[sequence.row] = [len(sequence.ids) - 1]
        logits = self._forward(tokens, columns, None)
        for sequence in sequences:
            sequence.cached = len(sequence.ids)
        rows = [sequence.row for sequence in sequences]
        return logits if rows == list(range(window)) else logits[torch.tensor(rows, device=logits.device)]

    def _run_rows(self, sequences: Sequence[CachedSequence]) -> Any:
        """The next tokens of each, padded on the left so that the last one stands in the last column."""
        ends = [min(len(sequence.ids), sequence.cached + _LONGEST_READ) for sequence in sequences]
        width = max(end - sequence.cached for sequence, end in zip(sequences, ends, strict=True))
        tokens, columns = [], []
        for sequence, end in zip(sequences, ends, strict=True):
            padding = width - (end - sequence.cached)
            tokens.append([0] * padding + sequence.ids[sequence.cached : end])
            columns.append([-1] * padding + list(range(sequence.cached, end)))
        logits = self._forward(tokens, columns, [sequence.row for sequence in sequences])
        for sequence, end in zip(sequences, ends, strict=True):
            sequence.cached = end
        return logits

    def _forward(self, tokens: list[list[int]], columns: list[list[int]], rows: list[int] | None) -> Any:
        """Run the model on the given rows (None: the first ones, in place); column -1 is padding."""
        device, place = self._model.device, self._place
        with torch.inference_mode():
            place.columns = torch.tensor(columns, device=device)  # [B, T]; -1 is the scratch column at the end
            place.length = max(row[-1] for row in columns) + 1
            place.selected = None if rows is None else torch.tensor(rows, device=device)
            place.rows = (torch.arange(len(tokens), device=device) if rows is None else place.selected)[:, None]
            position = place.columns.clamp(min=0)
            # Padding sees column 0, because a softmax over nothing is NaN.
            visible = torch.arange(place.length, device=device) <= position[:, :, None]  # [B, T, L]
            output = self._model(
                input_ids=torch.tensor(tokens, device=device),
                attention_mask=torch.where(visible, self._seen, self._unseen)[:, None],
                position_ids=position,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            return output.logits[:, -1]

    def _make_room(self, sequences: Sequence[CachedSequence]) -> None:
        """Give every sequence a row, and all rows a capacity that holds the longest."""
        place = self._place
        needed = max(len(sequence.ids) for sequence in sequences)
        capacity = place.capacity
        if needed > capacity:
            capacity = min(self._max_length, max(2 * capacity, needed, _SMALLEST_CAPACITY))
        homeless = [sequence for sequence in sequences if sequence.row < 0]
        if not homeless and capacity == place.capacity:
            return
        limit = self._row_limit(capacity)
        protected = {id(sequence) for sequence in sequences}
        idle = sorted(
            (owner for owner in self._owners if owner is not None and not owner.busy and id(owner) not in protected),
            key=lambda owner: owner.last_used,
        )
        while idle and self.num_kept + len(homeless) > limit:
            self.release(idle.pop(0))
        if capacity > place.capacity:  # everything is copied anyway: close the gaps that evictions left
            self._reallocate(capacity, self.num_kept + len(homeless))
        free = [row for row, owner in enumerate(self._owners) if owner is None]
        if len(free) < len(homeless):
            wanted = len(self._owners) + len(homeless) - len(free)
            self._reallocate(capacity, max(wanted, min(limit, 2 * len(self._owners))))
            free = [row for row, owner in enumerate(self._owners) if owner is None]
        for sequence, row in zip(homeless, free, strict=False):
            self._owners[row] = sequence
            sequence.row, sequence.cached = row, 0

    def _reallocate(self, capacity: int, num_rows: int) -> None:
        """Move the kept rows to the front of new tensors."""
        kept = [(row, owner) for row, owner in enumerate(self._owners) if owner is not None]
        self._owners = [None] * max(num_rows, len(kept))
        for row, (_, owner) in enumerate(kept):
            self._owners[row], owner.row = owner, row
        self._place.capacity, self._place.num_rows = capacity, len(self._owners)
        for layer in self._layers:
            layer.reallocate([row for row, _ in kept])

    def _row_limit(self, capacity: int) -> int:
        """Rows of a capacity that the memory bound allows, at least one; unknown widths allow all."""
        per_row = sum(layer.bytes_per_token for layer in self._layers) * (capacity + 1)
        return max(1, min(self._num_rows, self._cache_bytes // per_row)) if per_row else self._num_rows


class PlainDecoder:
    """Decodes one sequence at a time with the cache that the model itself prefers; nothing is kept between turns."""

    keeps_turns = False

    def __init__(self, model: Any) -> None:
        """Keep the model."""
        self._model = model
        self._holders: dict[int, CachedSequence] = {}

    def advance(self, sequences: Sequence[CachedSequence]) -> Any:
        """See `Decoder.advance`."""
        return torch.cat([self._advance(sequence) for sequence in sequences])

    def share(self, sequence: CachedSequence) -> None:
        """Nothing can be shared: these caches cannot be cut back."""

    def release(self, sequence: CachedSequence) -> None:
        """See `Decoder.release`."""
        sequence.native, sequence.cached = None, 0
        self._holders.pop(id(sequence), None)

    def invalidate(self) -> None:
        """See `Decoder.invalidate`."""
        for sequence in list(self._holders.values()):
            self.release(sequence)

    def _advance(self, sequence: CachedSequence) -> Any:
        """Feed one sequence."""
        held = sequence.native[2] if sequence.native is not None else 0
        if held != len(sequence.ids) - 1 or sequence.cached < held:  # windows and states cannot be cut back: begin anew
            sequence.native, held = None, 0
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([sequence.ids[held:]], device=self._model.device),
                use_cache=True,
                **({} if sequence.native is None else {sequence.native[0]: sequence.native[1]}),
            )
        names = ("past_key_values", "cache_params", "state")
        sequence.native = next(((n, output[n], len(sequence.ids)) for n in names if output.get(n) is not None), None)
        sequence.cached = len(sequence.ids)
        self._holders[id(sequence)] = sequence
        return output.logits[:, -1]


class _Place:
    """Where the forward in progress reads and writes; shared by all layers."""

    def __init__(self) -> None:
        """Begin empty."""
        self.capacity = 0
        self.num_rows = 0
        self.length = 0  # columns read
        self.rows: Any = None  # [B, 1] rows written
        self.columns: Any = None  # [B, T] columns written
        self.selected: Any = None  # [B] rows read, or None for the first B


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers comes without types
    """Keys and values of one layer, shape (rows, heads, capacity + 1, width); the last column is scratch."""

    def __init__(self, place: _Place) -> None:
        """Allocate at the first update."""
        super().__init__()
        self._place = place

    @property
    def nbytes(self) -> int:
        """Memory of this layer."""
        return int(self.keys.nbytes + self.values.nbytes) if self.is_initialized else 0

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token of one sequence; 0 before the first update."""
        if not self.is_initialized:
            return 0
        return sum(int(t.shape[1] * t.shape[3] * t.element_size()) for t in (self.keys, self.values))

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Allocate; zeros, because masked columns are multiplied by zero and must not be NaN."""
        shape = (self._place.num_rows, self._place.capacity + 1)
        self.keys, self.values = (
            states.new_zeros((shape[0], states.shape[1], shape[1], states.shape[3])) for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new states at their rows and columns; return all that the queries may look at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self._place
        self.keys[place.rows, :, place.columns] = key_states.transpose(1, 2)
        self.values[place.rows, :, place.columns] = value_states.transpose(1, 2)
        if place.selected is None:
            return self.keys[: len(place.rows), :, : place.length], self.values[: len(place.rows), :, : place.length]
        return (
            self.keys[:, :, : place.length].index_select(0, place.selected),
            self.values[:, :, : place.length].index_select(0, place.selected),
        )

    def reallocate(self, kept: list[int]) -> None:
        """Move rows `kept` to the front of tensors of the current size."""
        if not self.is_initialized:
            return
        with torch.inference_mode():
            old = (self.keys, self.values)
            self.lazy_initialization(*old)
            columns = min(old[0].shape[2], self.keys.shape[2]) - 1
            for source, target in zip(old, (self.keys, self.values), strict=True):
                target[: len(kept), :, :columns] = source[kept, :, :columns]

    def copy(self, source: int, target: int, columns: int) -> None:
        """Copy the first columns of a row to another one."""
        with torch.inference_mode():
            self.keys[target, :, :columns] = self.keys[source, :, :columns]
            self.values[target, :, :columns] = self.values[source, :, :columns]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what is read."""
        return self._place.length, 0

    def get_seq_length(self) -> int:
        """Columns read."""
        return self._place.length

    def get_max_length(self) -> int:
        """No maximum of its own."""
        return -1


def _num_layers(model: Any) -> int:
    """Layers with keys and values."""
    return int(model.config.get_text_config(decoder=True).num_hidden_layers)


def _attends_to_everything(model: Any) -> bool:
    """Whether the model would use nothing but ordinary growing caches."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _agrees(model: Any, decoder: SlotDecoder) -> bool:
    """Compare a ragged prefill and one decoding step with plain forwards."""
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    texts = [[(7 * i + 3) % vocabulary for i in range(5)], [(5 * i + 1) % vocabulary for i in range(3)]]
    sequences = [CachedSequence(list(text)) for text in texts]
    try:
        for _ in range(2):
            got = decoder.advance(sequences)
            with torch.inference_mode():
                ids = [torch.tensor([sequence.ids], device=model.device) for sequence in sequences]
                want = torch.cat([model(input_ids=each, use_cache=False).logits[:, -1] for each in ids])
            tolerance = 1e-3 if want.dtype == torch.float32 else 5e-2
            scale = want.float().abs().max().clamp(min=1.0)
            if not bool((got.float() - want.float()).abs().max() <= tolerance * scale):
                return False
            for sequence in sequences:
                sequence.ids.append(2 % vocabulary)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, NotImplementedError):
        return False  # the model takes no such mask or cache
    return True


def _common_length(a: list[int], b: list[int], limit: int) -> int:
    """Length of the common beginning of two lists, at most `limit`."""
    if a[:limit] == b[:limit]:
        return limit
    low, high = 0, limit  # equal up to low, different somewhere before high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low
