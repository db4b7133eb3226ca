"""Operations: climate."""
