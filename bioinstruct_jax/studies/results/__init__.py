"""What a study leaves: its tables in Markdown and LaTeX, figures, one JSON file and the report."""
