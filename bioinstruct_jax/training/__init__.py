"""The sharded train step and what surrounds it. Knows nothing of tasks, teachers or files of text."""
