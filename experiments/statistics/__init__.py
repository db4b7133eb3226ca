"""How a comparison that may stop early does next to one of fixed size."""
