"""Operations: navigation."""
