"""Which generated instructions evaluation would meet again: every evaluation item that one shares text with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bioinstruct_jax import files
from bioinstruct_jax.generation.job import Decontamination
from bioinstruct_jax.similarity.join import Near
from bioinstruct_jax.similarity.ngrams import Ngrams
from bioinstruct_jax.similarity.tokens import words
from bioinstruct_jax.tasks.compared import Texts, texts
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CorpusError

TESTS = LONG, SHORT, ROUGE = ("13-gram", "8-gram", "ROUGE-L")
LEAST = 8  # tokens of a text that is compared at all
WHOLE = 16  # tokens of a question below which it is met whole alone


@dataclass(frozen=True, slots=True)
class Met:
    """An evaluation item that a generated instruction meets. Ids alone: its text may be restricted.

    Attributes:
        task: name of the task.
        item: id of its row, ``task/split/id``.
        test: of `TESTS`.
        score: the share of a text of the item that lies in shared n-grams, or the ROUGE-L (F1).
    """

    task: str
    item: str
    test: str
    score: float


class HeldOut:
    """The evaluation items of tasks, to be met by generated instructions.

    Attributes:
        tasks: items that were compared, by task.
        missing: files of evaluation splits that are not there, by task.
    """

    def __init__(self, settings: Decontamination) -> None:
        self.tasks: dict[str, int] = {}
        self.missing: dict[str, tuple[str, ...]] = {}
        self._ngrams = {LONG: Ngrams(13, LEAST, settings.share_13), SHORT: Ngrams(8, LEAST, settings.share_8)}
        self._near = Near(settings.rouge_l)
        self._items: dict[str, list[tuple[str, str]]] = {}  # task and id of all that have a text, by its tokens

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
        if not corpora.is_dir():
            raise FileNotFoundError(
                f"decontamination.corpora {settings.corpora}: no such folder. Give the folder that holds your corpora, "
                "each in a folder as its publisher ships it; `prepare --list` names them"
            )
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
                raise ValueError(
                    f"{name}/{part}: {', '.join(TASKS[name].split(part).files)}: not one item in it. Fetch it again"
                )
        told(len(there), len(there))
        return found

    def add(self, task: str, item: Texts) -> None:
        """One more item to be met by what it is about, by its question, and by its free answer.

        A text of fewer than 8 tokens is left out. Of a question of fewer than 16 a run of 13, or all where it has
        fewer, has to be met: examinations ask many alike but for the one word that matters ("Which of the following is
        not true of ..."), of which ROUGE-L calls one in five near to another's.
        """
        self.tasks[task] = self.tasks.get(task, 0) + 1
        for text in dict.fromkeys((item.about, item.question, item.free)):
            tokens = words(text)
            if len(tokens) < LEAST:
                continue
            key = " ".join(tokens)
            if (items := self._items.get(key)) is None:  # several tasks are made of one corpus
                self._items[key] = items = []
                self._ngrams[LONG].add(key, key)
                if text != item.question or len(tokens) >= WHOLE:
                    self._ngrams[SHORT].add(key, key)
                    self._near.add(key, key)
            items.append((task, item.id))

    def find(self, instruction: str, input: str, output: str) -> list[Met]:
        """Every item that a generated instruction meets, once a test, in the order of the tasks.

        N-grams are looked for in all of it. By ROUGE-L the instruction, the input, the two together, and the output
        are compared with each text of an item.
        """
        best: dict[tuple[str, str], float] = {}  # by the text that was met and the test
        whole = "\n".join((instruction, input, output))
        for test, index in self._ngrams.items():
            for run in index.all(whole):
                best[run.id, test] = run.share
        for text in dict.fromkeys((instruction, input, f"{instruction}\n{input}", output)):
            for match in self._near.all(text):
                best[match.id, ROUGE] = max(match.score, best.get((match.id, ROUGE), 0.0))
        met: dict[tuple[str, str, str], float] = {}
        for (key, test), score in best.items():
            for task, item in self._items[key]:
                met[task, item, test] = max(score, met.get((task, item, test), 0.0))
        order = {task: place for place, task in enumerate(self.tasks)}
        found = [Met(task, item, test, round(score, 4)) for (task, item, test), score in met.items()]
        return sorted(found, key=lambda one: (order[one.task], one.item, TESTS.index(one.test)))
