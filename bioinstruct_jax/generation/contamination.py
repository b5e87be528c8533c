"""Which generated instructions evaluation would meet again: every evaluation item that one shares text with."""

from __future__ import annotations

from collections.abc import Callable

from bioinstruct_jax import files
from bioinstruct_jax.generation.job import Decontamination
from bioinstruct_jax.tasks.compared import texts
from bioinstruct_jax.tasks.held_out import TESTS, Items, Met
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CorpusError, check_folder

__all__ = ["TESTS", "HeldOut", "Met"]


class HeldOut(Items):
    """The evaluation items of tasks, to be met by generated instructions.

    Attributes:
        missing: files of evaluation splits that are not there, by task.
    """

    def __init__(self, settings: Decontamination) -> None:
        super().__init__(settings.share_13, settings.share_8, settings.rouge_l)
        self.missing: dict[str, tuple[str, ...]] = {}

    @classmethod
    def read(cls, settings: Decontamination, told: Callable[[int, int], None]) -> HeldOut:
        """The development and test items of every task whose files are there.

        Args:
            told: called with how many splits were read, and of how many.

        Raises:
            FileNotFoundError: no folder of corpora, or no evaluation split of any task in it.
            ValueError: a corpus is not what its publisher ships; without its words where they are restricted.
            OSError: a file cannot be read.
        """
        if settings.corpora is None:
            raise ValueError("corpora: null, so there is nothing to compare with")
        corpora, found = files.path(settings.corpora), cls(settings)
        check_folder(corpora, "decontamination.")
        there: list[tuple[str, str]] = []
        for task in TASKS.values():
            for split in task.splits:
                if split.name == "train":
                    continue
                if lost := task.missing(corpora, split.name):
                    found.missing[task.name] = (*found.missing.get(task.name, ()), *lost)
                else:
                    there.append((task.name, split.name))
        if not there:
            raise FileNotFoundError(
                f"decontamination.corpora {settings.corpora}: it holds no evaluation split of any task. `prepare "
                f"--corpora={settings.corpora} --list` tells which files are looked for; leave corpora out to compare "
                "with nothing"
            )
        for done, (name, part) in enumerate(there):
            told(done, len(there))
            before = found.tasks.get(name, 0)
            try:
                for item in texts(TASKS[name], corpora, part):
                    found.add(name, item)
            except CorpusError as error:
                raise ValueError(f"{error}. Mend the corpus or fetch it again") from None
            if found.tasks.get(name, 0) == before:
                raise ValueError(TASKS[name].empty(part))
        told(len(there), len(there))
        return found
