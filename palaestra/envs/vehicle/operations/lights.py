"""Operations: lights."""
