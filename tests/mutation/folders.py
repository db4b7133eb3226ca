"""What is changed; apart from the rest, which needs mutmut."""

FOLDERS = (
    "palaestra/algorithms/math",
    "palaestra/results",
    "palaestra/envs/core",
    "palaestra/envs/formats",
    "palaestra/agents/store",
    "palaestra/agents/backends",
)
"""What is changed."""
