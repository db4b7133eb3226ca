"""The car as a value: tables, state, derived values, and how a state is shown."""
