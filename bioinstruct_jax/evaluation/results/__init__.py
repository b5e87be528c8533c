"""What an evaluation leaves: files in the layout of lm-evaluation-harness, comparisons, tables and the report."""
