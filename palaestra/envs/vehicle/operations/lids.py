"""Operations: lids."""
