"""Checks every registered environment, several at once if that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import gymnasium

from palaestra.envs.check.checker import check_environment
from palaestra.envs.check.report import CheckReport
from palaestra.envs.registration import conditions, for_tests, list_envs, missing
from palaestra.errors import ConfigError, MissingDataError, MissingExtraError
from palaestra.types import Json

log = logging.getLogger(__name__)


class Checked(NamedTuple):
    """What came of one environment.

    Attributes:
        env_id: The environment.
        report: What its checks say; None if it was not tried.
        not_tried: Why it was not tried: what it needs and is not here.
    """

    env_id: str
    report: CheckReport | None
    not_tried: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was tried, and keeps the contract."""
        return self.report is not None and self.report.ok

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        report = {"env_id": self.env_id, "ok": None, "results": []} if self.report is None else self.report.to_json()
        return {**report, "not_tried": self.not_tried}


def check_every(
    env_ids: Sequence[str] | None = None, *, jobs: int = 1, seed: int = 0, only: Collection[str] | None = None
) -> Iterator[Checked]:
    """Check environments and yield what came of each, in their order.

    One that needs an argument is made with those of `palaestra.envs.registration.for_tests`. One that needs something that
    is not here is not tried.

    Args:
        env_ids: Registered ids; all of them by default.
        jobs: Processes that check at once; 1 checks in this one.
        seed: Seed of all that is drawn.
        only: Names of checks; all of them by default.

    Raises:
        ConfigError: If there are to be less than 1 process.
        UnknownNameError: If there is no check of a name in `only`.
    """
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}; expected at least 1.")
    wanted = list_envs() if env_ids is None else env_ids
    check = partial(_check_one, seed=seed, only=None if only is None else tuple(only))
    if jobs == 1 or len(wanted) < 2:
        yield from map(check, wanted)
        return
    # not forked: a fork would copy locks, and engines that belong to this process
    with ProcessPoolExecutor(min(jobs, len(wanted)), mp_context=get_context("spawn")) as processes:
        try:
            yield from processes.map(check, wanted)
        finally:
            processes.shutdown(wait=False, cancel_futures=True)


def _check_one(env_id: str, *, seed: int, only: Collection[str] | None) -> Checked:
    """Check one environment, or say why that cannot be done here."""
    if lack := missing(env_id, conditions(env_id).arguments):
        return Checked(env_id, None, lack)
    with for_tests(env_id) as arguments:
        try:
            gymnasium.make(env_id, disable_env_checker=True, **arguments).close()
        except (MissingExtraError, MissingDataError) as error:
            return Checked(env_id, None, str(error))
        except Exception as error:  # the check says more
            log.debug("%s cannot be made: %r", env_id, error)
        return Checked(env_id, check_environment(env_id, kwargs=arguments, seed=seed, only=only))


__all__ = ["Checked", "check_every"]
