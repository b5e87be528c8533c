"""What XLA compiles: the LLaMA, its adapters and the loss. Knows nothing of tasks, teachers or files of text."""
