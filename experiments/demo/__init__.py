"""What the demo's GRPO adds to its clone, next to more cloning for the same CPU time."""
