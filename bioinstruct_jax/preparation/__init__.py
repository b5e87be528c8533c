"""From corpora to instruction rows: rendered, compared, balanced, counted and audited."""
