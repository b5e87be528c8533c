"""What the settings of scores while training refuse, and how often they are taken."""

import pytest
from pydantic import ValidationError

from bioinstruct_jax.scoring_settings import Scoring


def test_scores_are_taken_with_held_out_losses_unless_steps_are_given():
    # Mutation: `every_steps or held_out`, by which 0 would be the steps of the held-out loss.
    assert [Scoring(every_steps=every).every(50) for every in (None, 0, 7)] == [50, 0, 7]


def test_a_task_is_named_once():
    with pytest.raises(ValidationError, match="name each task once"):
        Scoring(tasks=("medqa", "medqa"))


@pytest.mark.parametrize(
    ("best", "every", "message"),
    [
        ("loss_held_out", 5, "neither held_out_loss nor loss nor <task>/<metric>"),
        ("medqa/acc", 5, r"a task in evaluation.tasks \(medmcqa\)"),
        ("medmcqa", 5, "neither"),
        ("medmcqa/", 5, "neither"),
        ("medmcqa/acc", 0, "set evaluation.every_steps"),
    ],
)
def test_a_best_that_is_not_measured_is_refused(best, every, message):
    with pytest.raises(ValueError, match=message):
        Scoring(tasks=("medmcqa",), every_steps=every).check_best(best, 0)


@pytest.mark.parametrize("best", [None, "loss", "held_out_loss", "medmcqa/acc"])
def test_a_best_that_is_measured_is_taken(best):
    Scoring(tasks=("medmcqa",)).check_best(best, 5)
