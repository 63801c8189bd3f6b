"""Operations: one module for each kind of vertex."""
