"""Generated free text against what people wrote: notes, summaries, open answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import bertscore, extraction, overlap
from bioinstruct_jax.evaluation.bertscore import Encoder
from bioinstruct_jax.evaluation.bootstrap import ratio
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring import given
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading
from bioinstruct_jax.tasks import answers
from bioinstruct_jax.tasks.open_answer import OpenQuestion
from bioinstruct_jax.tasks.task import Task

FAMILIES = ("note", "summary", "open_answer", "own_instruction")
ROUGE = ("rouge1", "rouge2", "rouge_l")
CUT = "cut for BERTScore"


def length_ratio(sums: np.ndarray) -> np.ndarray:
    """Tokens of outputs over those of references, of sums of `overlap.bleu_counts`."""
    return ratio(sums[..., :2])


class Texts:
    """Scores texts by what they share with a reference; of several that are right, the one of the best ROUGE-L.

    Blank outputs score zero and stay in; a refusal scores as the text that it is, and is no answer. What a model thinks
    aloud first, blanks around and a fence around the whole are not part of a text.

    `version` is raised whenever a score changes for the same texts, so whenever `extraction.VERSION` is.
    `signatures` are sacrebleu's, of BLEU and chrF.

    Args:
        encoder: for BERTScore, of several right texts that of the highest F1; None: it is not computed.
    """

    version = 1
    headline = "rouge_l"
    labels: tuple[str, ...] = ()
    reasons: Mapping[str, str] = {
        "text": "the whole text is the answer",
        "refused": "the text declines to answer; it scores as the text that it is",
        "empty": extraction.WHY["empty"],
        **given.REASONS,
    }

    def __init__(self, task: Task[Any, Any], encoder: Encoder | None = None):
        self._gold, self._encoder = task.family.gold, encoder

    def read(self, question: Question, output: Output) -> Reading:
        """A text, whatever it is."""
        why = given.absent(output)
        said = "" if why else extraction.spoken((output.text if output.label is None else output.label) or "").strip()
        fence = answers.FENCE.fullmatch(said)
        if fence and "```" not in fence[1]:
            said = fence[1].strip()
        why = why or ("empty" if not said else "refused" if extraction.refused(said) else "text")
        golds: tuple[str, ...] = (self._gold(question.item),)
        if isinstance(question.item, OpenQuestion):
            golds += question.item.others
        by_gold = overlap.rouge(golds, [said] * len(golds))
        best = int(by_gold[:, ROUGE.index("rouge_l")].argmax())
        gold, rouge = golds[best], by_gold[best].tolist()
        answered = float(why == "text")
        scores = dict(zip(ROUGE, rouge, strict=True))
        counts: dict[str, Sequence[float]] = {name: (score, 1.0) for name, score in scores.items()}
        counts["bleu"] = overlap.bleu_counts([gold], [said])[0].tolist()
        counts["chrf"] = overlap.chrf_counts([gold], [said])[0].tolist()
        counts["extraction"] = (answered, 1.0)
        problems = given.unfinished(output)
        if self._encoder is not None:
            meant, cut = _meant(self._encoder, golds, said)
            scores |= {f"bertscore_{name}": value for name, value in asdict(meant).items()}
            counts["bertscore"] = (meant.f1, 1.0)
            problems |= {CUT: 1} if cut else {}
        return Reading(
            said if why == "text" else None,
            gold,
            why,
            scores[self.headline],
            scores | {"extraction_rate": answered},
            counts,
            problems,
        )

    def metrics(self) -> tuple[Metric, ...]:
        """ROUGE-L first."""
        signed = self.signatures()
        meant = []
        if self._encoder is not None:
            meant.append(Metric("bertscore_f1", "BERTScore, F1", "bertscore", ratio, note=self._encoder.note))
        return (
            Metric("rouge_l", "ROUGE-L, F1", "rouge_l", ratio),
            Metric("rouge1", "ROUGE-1, F1", "rouge1", ratio),
            Metric("rouge2", "ROUGE-2, F1", "rouge2", ratio),
            Metric("bleu", "BLEU of the corpus", "bleu", overlap.bleu, unit="points", note=signed["bleu"]),
            Metric("chrf", "chrF2 of the corpus", "chrf", overlap.chrf, unit="points", note=signed["chrf"]),
            *meant,
            Metric(
                "length_ratio",
                "Tokens written over tokens of the reference",
                "bleu",
                length_ratio,
                unit="ratio",
                note="neither high nor low is better: what a short or long text does to the other scores",
            ),
            Metric("extraction_rate", "Texts that are an answer", "extraction", ratio, of_items=True),
        )

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """None: no text is the commonest, and none is guessed."""
        return {}

    def signatures(self) -> dict[str, str]:
        """sacrebleu's own words for how BLEU and chrF are made."""
        return overlap.signatures()


def _meant(encoder: Encoder, golds: Sequence[str], said: str) -> tuple[bertscore.Match, bool]:
    """BERTScore against the best of the references, and whether one of the two texts was too long for the encoder."""
    if not said:
        return bertscore.NONE, False
    output, references = encoder.encode(said), [encoder.encode(gold) for gold in golds]
    matches = [bertscore.match(one, output) for one in references]
    best = max(range(len(golds)), key=lambda place: matches[place].f1)
    return matches[best], bool(output.cut or references[best].cut)
