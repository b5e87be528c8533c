"""What a person looks at: progress, figures, reports."""
