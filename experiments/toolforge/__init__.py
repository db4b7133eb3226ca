"""Tool-use tasks that are built: proofs of the builders, and training."""
