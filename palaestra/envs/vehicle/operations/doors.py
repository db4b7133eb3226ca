"""Operations: doors."""
