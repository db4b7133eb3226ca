"""Environments of AgentGym: what needs more time than a test has."""
