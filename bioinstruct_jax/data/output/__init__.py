"""What `prepare` writes: instructions in shards with an index, for training here, for the hub and for other loaders."""
