"""What other tools read and write: hub weights, PEFT adapters, model cards."""
