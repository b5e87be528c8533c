"""Measurements that a reader can repeat; not part of the test suite."""
