//! Tests only: see `e2e/` and `structure/`.
