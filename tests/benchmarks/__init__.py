"""Measurements that a reader can repeat; not part of the test suite."""

from bioinstruct_jax import platforms

platforms.settle("auto")  # before any of them imports JAX
