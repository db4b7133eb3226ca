"""Operations: levels."""
