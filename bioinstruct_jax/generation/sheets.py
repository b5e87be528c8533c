"""Accepted rows for two blinded readers, as `prepare` has them."""

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.generation import folder
from bioinstruct_jax.generation.item import Accepted
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.preparation import agreement as sheets
from bioinstruct_jax.preparation import audit


def place(job: Generate) -> UPath:
    """Where the sheets of a generation are."""
    return files.path(job.out) / folder.AUDIT


def draw(job: Generate, accepted: list[Accepted], count: int) -> UPath:
    """Draws `count` rows, each teacher its share, and writes the sheets; returns their folder.

    Raises:
        ValueError: there are fewer rows.
        FileExistsError: sheets are there, perhaps filled in.
    """
    drawn = audit.draw(folder.samples(accepted), count, seed=job.seed)
    audit.write(drawn, place(job), seed=job.seed)
    return place(job)


def agreement(job: Generate) -> str:
    """How far the two readers agree. Raises FileNotFoundError or ValueError for missing or damaged ones."""
    return sheets.read(place(job))
