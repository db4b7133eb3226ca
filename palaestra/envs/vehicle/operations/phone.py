"""Operations: phone."""
