"""A study: which instructions help which tasks. A grid of ordinary runs, and what they show together."""
