"""What all scorers say alike of an output: that there is none, or that it was cut."""

from bioinstruct_jax.evaluation.runner.outputs import Output

TOO_LONG = "too long"
NO_SERVER = "no answer from the server"
REASONS = {
    TOO_LONG: "the question is longer than the model's context; it counts as wrong",
    NO_SERVER: "the server gave no answer; it counts as wrong",
}


def absent(output: Output) -> str:
    """Why there is nothing to read, a key of `REASONS`; empty where there may be something."""
    if output.unfit is not None:
        return TOO_LONG
    return NO_SERVER if output.problem and output.text is None else ""


def unfinished(output: Output) -> dict[str, int]:
    """``unfinished`` where the answer was cut: `max_tokens` were written, or the context was full."""
    return {"unfinished": 1} if output.finish in ("length", "context") else {}
