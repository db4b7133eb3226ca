"""GRPO, and more cloning, on the demo's tasks, from a clone that solves some of depth 2."""
