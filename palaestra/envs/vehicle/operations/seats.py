"""Operations: seats."""
