"""The settings of the scores that a run takes of itself while it trains, and how one of them is named.

A score is ``<task>/<metric>``, as it stands in ``metrics.jsonl``: ``medmcqa/acc``. Tasks are named by what reads them
(`inference.while_training`), for a room of settings knows none.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.config_types import Natural, Positive, config

LOSSES = ("held_out_loss", "loss")  # what a best checkpoint may be chosen by, besides a score


@config
class Scoring:
    """Tasks that are scored while training, on the model as it then is."""

    tasks: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(description="names of tasks that are scored on the way, with intervals; empty: none"),
    ] = ()
    corpora: Annotated[
        str, Field(min_length=1, description="folder of their corpora, each in a folder as its publisher ships it")
    ] = "corpora"
    every_steps: Annotated[
        Natural | None,
        Field(
            description="steps between scores, which are taken before the first and after the last step too; 0: then "
            "alone; null: as training.eval_every"
        ),
    ] = None
    protocol: Annotated[
        Literal["harness", "likelihood", "generated"] | None,
        Field(
            description="harness: log-likelihood of each choice behind lm-evaluation-harness's prompt; likelihood: "
            "behind the run's own template; generated: the answer is written, and read; null: likelihood where a task "
            "has choices, else generated"
        ),
    ] = None
    limit: Annotated[Positive | None, Field(description="items of each task, drawn by seed; null: all")] = 200
    split: Annotated[
        Literal["train", "dev", "test"],
        Field(description="that is scored; test only if it is named, and what is chosen by it is no estimate any more"),
    ] = "dev"

    @model_validator(mode="after")
    def _once(self) -> "Scoring":
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks {list(self.tasks)}: name each task once")
        return self

    def every(self, held_out: int) -> int:
        """Steps between scores, 0: none but the first and the last; `held_out`: those between held-out losses."""
        return held_out if self.every_steps is None else self.every_steps

    def check_best(self, best: str | None, held_out: int) -> None:
        """Refuse a best checkpoint by what is not measured.

        Raises:
            ValueError: `best` is neither a loss nor ``<task>/<metric>`` of a task that is scored, or scores are taken
                at the last step alone and there is nothing to choose among.
        """
        if best is None or best in LOSSES:
            return
        task, mark, metric = best.partition("/")
        if not (mark and metric) or task not in self.tasks:
            raise ValueError(
                f"training.best {best!r} is neither {' nor '.join(LOSSES)} nor <task>/<metric> of a task in "
                f"evaluation.tasks ({', '.join(self.tasks) or 'which is empty'})"
            )
        if not self.every(held_out):
            raise ValueError(f"training.best {best} needs scores to compare: set evaluation.every_steps")
