"""From settings to the outputs of each model: what is asked, what came back, and what need not be asked again."""
