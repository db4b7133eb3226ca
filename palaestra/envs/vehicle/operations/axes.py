"""Operations: axes."""
