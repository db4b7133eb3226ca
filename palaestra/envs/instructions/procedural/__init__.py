"""Tasks made by rules: constraints that fit together, words that tell them, and answers that meet or break them."""
