"""Arms too small for their warm-up, before anything is run: `train` would refuse them, hours later."""

import math
from dataclasses import replace
from pathlib import Path

from bioinstruct_jax.config import Train
from bioinstruct_jax.data import dataset
from bioinstruct_jax.studies.found import Rows


def short(tuning: Train, file: Path, known: Rows | None) -> str:
    """What `train` would say of a cell whose steps are fewer than its warm-up; empty where they are enough.

    Rows are tokenised only where their target tokens alone do not show that there are enough of them.

    Args:
        tuning: settings of the cell's training; its sources need not be there.
        file: the rows that it is tuned on.
        known: their counts, if they are known.

    Raises:
        ValueError, OSError: the rows or the tokenizer cannot be read.
    """
    warmup, training = tuning.optimizer.warmup_steps, tuning.training
    if not warmup or training.steps or not file.is_file():
        return ""
    if known is not None and not tuning.data.held_out:
        fewest = (training.epochs or 0) * known.target_tokens / tuning.data.length / training.batch_rows
        if fewest >= warmup:
            return ""
    source = replace(tuning.data.sources[0], path=str(file))
    rows = len(dataset.load(replace(tuning, data=replace(tuning.data, sources=(source,)))).train.tokens)
    steps = math.ceil((training.epochs or 0) * rows / training.batch_rows)
    if steps >= warmup:
        return ""
    return (
        f"optimizer.warmup_steps {warmup} is more than the {steps} steps of training.epochs {training.epochs:g} over "
        f"{rows} packed rows: give less, or optimizer.warmup_share"
    )
