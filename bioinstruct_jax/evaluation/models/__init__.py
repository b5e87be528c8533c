"""Models that answer requests without JAX, and files of answers that were made elsewhere."""
