"""Evaluation items, to be met by rows of any kind: every item that a row shares text with."""

from __future__ import annotations

from dataclasses import dataclass

from bioinstruct_jax.similarity.join import Near
from bioinstruct_jax.similarity.ngrams import Ngrams
from bioinstruct_jax.similarity.tokens import words
from bioinstruct_jax.tasks.compared import Texts

TESTS = LONG, SHORT, ROUGE = ("13-gram", "8-gram", "ROUGE-L")
LEAST = 8  # tokens of a text that is compared at all
WHOLE = 16  # tokens of a question below which it is met whole alone


@dataclass(frozen=True, slots=True)
class Met:
    """An evaluation item that a row meets. Ids alone: its text may be restricted.

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


class Items:
    """The evaluation items of tasks. Add all, then find.

    Attributes:
        tasks: items that were added, by task.
        short: of them those without a text that is long enough to be compared, by task; none: no entry.
    """

    def __init__(self, share_13: float, share_8: float | None, rouge_l: float) -> None:
        """
        Args:
            share_13: of an item's text, in shared 13-grams, from which it is met; 0: one.
            share_8: the same for 8-grams; None: these are not looked for.
            rouge_l: ROUGE-L (F1) from which two texts are nearly one.
        """
        self.tasks: dict[str, int] = {}
        self.short: dict[str, int] = {}
        self._ngrams = {LONG: Ngrams(13, LEAST, share_13)}
        if share_8 is not None:
            self._ngrams[SHORT] = Ngrams(8, LEAST, share_8)
        self._near = Near(rouge_l)
        self._items: dict[str, list[tuple[str, str]]] = {}  # task and id of all that have a text, by its tokens

    def add(self, task: str, item: Texts) -> None:
        """One more item to be met by what it is about, by its question, and by its free answer.

        A text of fewer than 8 tokens is left out. Of a question of fewer than 16 a run of 13, or all where it has
        fewer, has to be met: examinations ask many alike but for the one word that matters ("Which of the following is
        not true of ..."), of which ROUGE-L calls one in five near to another's.
        """
        self.tasks[task] = self.tasks.get(task, 0) + 1
        compared = False
        for text in dict.fromkeys((item.about, item.question, item.free)):
            tokens = words(text)
            if len(tokens) < LEAST:
                continue
            key = " ".join(tokens)
            if (items := self._items.get(key)) is None:  # several tasks are made of one corpus
                self._items[key] = items = []
                self._ngrams[LONG].add(key, key)
                if text != item.question or len(tokens) >= WHOLE:
                    if SHORT in self._ngrams:
                        self._ngrams[SHORT].add(key, key)
                    self._near.add(key, key)
            items.append((task, item.id))
            compared = True
        if not compared:
            self.short[task] = self.short.get(task, 0) + 1

    def find(self, instruction: str, input: str, output: str) -> list[Met]:
        """Every item that a row meets, once a test, in the order of the tasks.

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
