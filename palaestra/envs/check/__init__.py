"""Checks whether environments keep the contract: `check_environment(env_id)`, `check_every()`."""

from palaestra.envs.check.checker import CHECKS, check_environment
from palaestra.envs.check.every import Checked, check_every
from palaestra.envs.check.report import CheckReport, CheckResult

__all__ = ["CHECKS", "CheckReport", "CheckResult", "Checked", "check_environment", "check_every"]
