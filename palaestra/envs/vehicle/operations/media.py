"""Operations: media."""
