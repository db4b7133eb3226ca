"""How figures look: statistics with intervals, and tables. On the ground floor, so that environments may use it."""
