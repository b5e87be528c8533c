"""One model through all tasks: asked, read, counted, and written down item by item."""

from contextlib import nullcontext
from pathlib import Path

from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.results import samples
from bioinstruct_jax.evaluation.runner import asking, cache, folder
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model, Protocol
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.runner.questions import answer_form
from bioinstruct_jax.evaluation.runner.ready import Ready
from bioinstruct_jax.evaluation.runner.tally import Tally
from bioinstruct_jax.evaluation.scoring import table
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting.progress import Progress

NAMED = 10  # items in a message
