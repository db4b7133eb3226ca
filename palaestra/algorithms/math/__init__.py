"""Pure functions: batches, sequences, advantages, returns, losses, corrections."""
