"""What several experiments share: worlds of tokens, a base model, rows, comparisons from one clone."""
