"""What the project promises about speed and size, measured beside a named peer: `python -m benchmarks.run`."""
