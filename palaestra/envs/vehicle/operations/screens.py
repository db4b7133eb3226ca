"""Operations: screens."""
