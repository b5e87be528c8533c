"""From files of instructions to rows of tokens; no JAX, torch or TensorFlow here."""
