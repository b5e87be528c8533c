"""Measurements that a reader can repeat, outside the test suite; the tests here check what they compute."""

from bioinstruct_jax import platforms

platforms.settle("auto")  # before any of them imports JAX
