"""Learning experiments: recipes over several seeds."""
