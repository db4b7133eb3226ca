"""Training on several processes: who computes what, and how the parts become one update.

Every process ("rank") runs the same loop. Rollouts are divided among the ranks and their episodes are exchanged, so that
each rank knows the whole batch: baselines, whitening, quantiles, minibatches and normalisers are those of one process, for
every algorithm, without a word about ranks in it. What costs (forward and backward passes) is divided row by row, and what
comes out is added up: scores of tokens, measurements, gradients. An update is therefore that of one process up to the order
of additions.

Weights are held whole by every rank, with gradients added up after the last micro-batch ("replicated", as DDP), or cut into
shards by FSDP2 ("sharded": weights, gradients and AdamW's moments). `ranks()` is what the current process belongs to: one
rank, unless `join_ranks` found itself under `accelerate launch` or `torchrun`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from palaestra.algorithms.math.batch import microbatches
from palaestra.algorithms.scale.heartbeat import (
    Heartbeat,
    LostRankError,
    connect,
    is_launch_alone,
    lost_is_an_error,
    num_launched,
    wants_cpu,
)
from palaestra.errors import ConfigError, MissingExtraError

Item = TypeVar("Item")
Sharing = Literal["replicated", "sharded"]

log = logging.getLogger(__name__)

_BUCKET = 2**25  # numbers that travel in one reduction
_TIMEOUT = timedelta(minutes=30)  # of one exchange; a rank that may be hours late is waited for at a barrier before it


class Part(list[int]):
    """Rows of one micro-batch.

    Attributes:
        weight: What the loss is multiplied by; 0 for rows that another rank counts, read only to keep step with it.
    """

    weight: float = 1.0


class Ranks:
    """One process that trains alone; `ProcessRanks` is several.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        sharing: How weights are held.
    """

    rank = 0
    size = 1
    sharing: Sharing = "replicated"

    @property
    def is_main(self) -> bool:
        """Whether this process logs, saves and evaluates."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return every `size`-th item, beginning with this rank's."""
        return list(items[self.rank :: self.size])

    def plan(self, rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[Part]:
        """Plan the micro-batches of this rank; every rank has equally many.

        Args:
            rows: Row numbers.
            lengths: Tokens of each of them.
            max_tokens: Budget of a micro-batch, padding included.
        """
        return [Part(rows[i] for i in part) for part in microbatches(lengths, max_tokens)]

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over the ranks."""
        return tensor

    def sum_values(self, values: Mapping[str, float]) -> dict[str, float]:
        """Add up numbers of the same names over the ranks."""
        return dict(values)

    def max(self, value: float) -> float:
        """Return the largest number of any rank."""
        return value

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients over the ranks, in place; sharded ones have been added up already."""

    def barrier(self, name: str) -> None:
        """Wait until all ranks are here, however slow, as long as they are alive.

        Args:
            name: What for; the same on every rank.

        Raises:
            LostRankError: If one is lost, or waits at another barrier.
        """

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of all ranks, those of rank 0 first; the slow are waited for."""
        return list(items)

    def on_main(self, function: Callable[[], Item]) -> Item:
        """Call a function on rank 0 and return its result on every rank; the others wait. Its exception is everybody's."""
        return function()

    def shard(self, module: Any, blocks: Iterable[Any]) -> None:
        """Cut the weights of a module into shards, in place, if weights are shared that way.

        Args:
            module: Root, whose forward is called as a whole.
            blocks: Parts that are put together one at a time, e.g. the layers of a transformer.
        """


class ProcessRanks(Ranks):
    """The processes of a `torch.distributed` group.

    Args:
        sharing: How weights are held.
        device: Where this rank's tensors travel from.
        heartbeat: Notices lost ranks; without it an exchange waits for them until it times out.
    """

    def __init__(self, *, sharing: Sharing = "replicated", device: str = "cpu", heartbeat: Heartbeat | None = None) -> None:
        """Look at the group, which is there already."""
        import torch.distributed as dist

        self._dist = dist
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.sharing = sharing
        self.device = torch.device(device)
        self._heartbeat = heartbeat

    def plan(self, rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[Part]:
        """Distribute the rows, longest first, and plan the micro-batches of this rank."""
        if not rows:
            return []
        order = sorted(range(len(rows)), key=lambda i: (-lengths[i], rows[i]))
        # back and forth, so that no rank gets the longest row of every round
        shares: list[list[int]] = [[] for _ in range(self.size)]
        for place, index in enumerate(order):
            lap, rank = divmod(place, self.size)
            shares[rank if lap % 2 == 0 else self.size - 1 - rank].append(index)
        plans = [[[own[i] for i in part] for part in microbatches([lengths[i] for i in own], max_tokens)] for own in shares]
        mine = [Part(rows[i] for i in part) for part in plans[self.rank]]
        shortest = order[-1]
        while len(mine) < max(len(plan) for plan in plans):
            idle = Part([rows[shortest]])
            idle.weight = 0.0
            mine.append(idle)
        for part in mine:
            part.weight *= self._scale
        return mine

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over the ranks."""
        total = tensor.detach().to(self.device, copy=True)
        self._dist.all_reduce(total)
        return total.to(tensor.device)

    def sum_values(self, values: Mapping[str, float]) -> dict[str, float]:
        """Add up numbers of the same names over the ranks."""
        names = sorted(values)
        total = self.sum(torch.tensor([values[name] for name in names], dtype=torch.float64))
        return dict(zip(names, total.tolist(), strict=True))

    def max(self, value: float) -> float:
        """Return the largest number of any rank."""
        largest = torch.tensor([value], dtype=torch.float64, device=self.device)
        self._dist.all_reduce(largest, op=self._dist.ReduceOp.MAX)
        return float(largest)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients over the ranks, bucket by bucket."""
        gradients = [p.grad for p in parameters if p.grad is not None and not is_sharded(p)]
        bucket: list[Tensor] = []
        for gradient in gradients:
            if bucket and (bucket[0].dtype != gradient.dtype or sum(g.numel() for g in bucket) >= _BUCKET):
                self._sum_bucket(bucket)
                bucket = []
            bucket.append(gradient)
        if bucket:
            self._sum_bucket(bucket)

    def barrier(self, name: str) -> None:
        """Wait until all ranks are here."""
        if self._heartbeat is not None:
            self._heartbeat.barrier(name)

    def gather(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of all ranks, those of rank 0 first."""
        self.barrier("gather")
        shares: list[list[Item]] = [[] for _ in range(self.size)]
        self._dist.all_gather_object(shares, list(items))
        return [item for share in shares for item in share]

    def on_main(self, function: Callable[[], Item]) -> Item:
        """Call a function on rank 0 and return its result on every rank."""
        outcome: list[Any] = [None, None]
        if self.is_main:
            try:
                outcome = [function(), None]
            except Exception as error:
                outcome = [None, error]
        self.barrier("on_main")
        self._dist.broadcast_object_list(outcome, src=0)
        result, failure = outcome
        if failure is not None:
            raise failure
        found: Item = result
        return found

    def shard(self, module: Any, blocks: Iterable[Any]) -> None:
        """Cut the weights of a module into shards, in place, if weights are shared that way."""
        if self.sharing != "sharded":
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh, reshard_after_forward=True)

    @contextlib.contextmanager
    def graceful_exit(self) -> Iterator[None]:
        """Leave together with the others after the block; tell them if it fails, as they would wait."""
        try:
            yield
            if self._heartbeat is not None:
                self._heartbeat.leave()
        except BaseException as error:
            if self._heartbeat is not None and not isinstance(error, LostRankError):
                self._heartbeat.fail(f"Rank {self.rank} stopped with {type(error).__name__}: {str(error).rstrip('.')}")
            raise

    @property
    def _scale(self) -> float:
        """What makes up for FSDP's dividing gradients by the number of ranks."""
        return float(self.size) if self.sharing == "sharded" else 1.0

    def _sum_bucket(self, gradients: list[Tensor]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self._dist.all_reduce(flat)
        flat /= self._scale
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


_alone = Ranks()
_present: list[Ranks] = []
_heartbeats: list[Heartbeat] = []


def ranks() -> Ranks:
    """Return the ranks that this process trains with."""
    return _present[-1] if _present else _alone


@contextlib.contextmanager
def training_ranks(chosen: Ranks) -> Iterator[Ranks]:
    """Train with these ranks inside the block."""
    _present.append(chosen)
    try:
        yield chosen
    finally:
        _present.pop()


@contextlib.contextmanager
def join_ranks(sharing: Sharing | None = None) -> Iterator[Ranks]:
    """Join the other processes, if a launcher started several; else train alone.

    Args:
        sharing: How weights are held; by default "sharded" under `accelerate launch --use_fsdp`, else "replicated".

    Raises:
        MissingExtraError: If several processes were started and accelerate is not installed.
        LostRankError: If another process is lost on the way.
    """
    if _present:
        with lost_is_an_error(ranks().rank):
            yield ranks()
        return
    if num_launched() < 2:
        if is_launch_alone():
            log.warning(
                "accelerate launch was asked for several processes and started one: it starts several with --multi_gpu or "
                "--use_fsdp, on a CPU too. See docs/scaling.md."
            )
        yield ranks()
        return
    joined = _joined(sharing)
    with training_ranks(joined), joined.graceful_exit(), lost_is_an_error(joined.rank):
        yield joined
    # only where all got this far: after a failure, tearing down could wait for the dead
    atexit.register(_leave)


def _joined(sharing: Sharing | None) -> ProcessRanks:
    """Join the process group and return this rank of it."""
    try:
        from accelerate.state import PartialState
    except ImportError:
        raise MissingExtraError("Training on several processes", "scale") from None
    on_cpu = wants_cpu() or not torch.cuda.is_available()
    backend = {"backend": "gloo"} if on_cpu else {}
    state = PartialState(cpu=on_cpu, timeout=_TIMEOUT, **backend)
    if sharing is None:
        sharing = "sharded" if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" else "replicated"
    if not _heartbeats:  # one for as long as the process lives
        _heartbeats.append(Heartbeat(state.process_index, state.num_processes, connect))
        atexit.register(_heartbeats[0].close)
    _heartbeats[0].start()
    return ProcessRanks(sharing=sharing, device=str(state.device), heartbeat=_heartbeats[0])


def _leave() -> None:
    """Take the process group down, so that no rank ends while another one still talks to it."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


class Forward(nn.Module):  # type: ignore[misc]
    """A function of a model as the forward of a module, which is what FSDP puts shards together for.

    Args:
        model: Whose weights.
        function: Takes the model and further arguments.
    """

    def __init__(self, model: Any, function: Callable[..., Any]) -> None:
        """Keep both."""
        super().__init__()
        self.model = model
        self._function = function

    def forward(self, *args: Any) -> Any:
        """Call the function."""
        return self._function(self.model, *args)


# -- sharded weights --------------------------------------------------------------------------------------------------


def is_sharded(tensor: object) -> bool:
    """Whether a tensor is a shard of one that several ranks hold together."""
    return hasattr(tensor, "full_tensor")


def whole(tree: Any) -> Any:
    """Return nested data with every shard put together; all ranks have to call it."""
    if isinstance(tree, Mapping):
        return {name: whole(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [whole(value) for value in tree]
    return tree.full_tensor() if is_sharded(tree) else tree


def like(value: Tensor, pattern: Tensor) -> Tensor:
    """Return this rank's share of a whole tensor, cut as `pattern` is; the tensor itself if that is whole."""
    if not is_sharded(pattern) or value.shape != pattern.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    cut: Tensor = distribute_tensor(value.to(pattern.device), pattern.device_mesh, pattern.placements)
    return cut


@torch.no_grad()  # type: ignore[untyped-decorator]
def copy_whole(weights: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    """Copy whole weights into tensors of the same names, each rank its shard.

    Raises:
        ConfigError: If a name is missing.
    """
    for name, target in targets.items():
        if name not in weights:
            raise ConfigError(f"The weights hold no {name!r}; they belong to another model.")
        target.copy_(like(weights[name], target))


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Norm of all gradients together, of which some may be shards: a number, the same on every rank."""
    own = torch.zeros((), dtype=torch.float64)
    shared = torch.zeros((), dtype=torch.float64)
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if is_sharded(parameter):
            shared += parameter.grad.to_local().double().square().sum().cpu()
        else:
            own += parameter.grad.double().square().sum().cpu()
    return (own + ranks().sum(shared)).sqrt()


def blocks_of(model: Any) -> list[Any]:
    """Return the layers of a transformer, outermost lists of modules first."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module):
            return list(module)
    return []
