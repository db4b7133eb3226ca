"""Checks whether an environment keeps the contract: `check_environment(env_id)`."""

from palaestra.envs.check.checker import CHECKS, check_environment
from palaestra.envs.check.report import CheckReport, CheckResult

__all__ = ["CHECKS", "CheckReport", "CheckResult", "check_environment"]
