"""A language model as the judge of free text."""
