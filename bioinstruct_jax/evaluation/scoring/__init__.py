"""From a model's outputs to scores, one module a kind of answer."""
