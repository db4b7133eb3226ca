"""Agents, LLM backends, rollout engine, run store, evaluation and report."""
