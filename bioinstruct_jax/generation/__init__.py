"""Instructions written by a teacher from seed tasks: prompts, parsing, filters, categories, decontamination."""
