"""Yes, no or maybe: a question to be decided from a text. PubMedQA and BioASQ."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, CorpusError, Family, Figure, Licence, Likelihood, Split, Task

WORDINGS = (
    "Answer the question from the evidence given.",
    "Read the text, then decide the research question that follows it.",
    "Judging by the findings reported here, what is the answer to the question?",
    "How does the evidence below decide the question?",
    "A colleague asks the question below. Reply from the text alone, without outside knowledge.",
    "Weigh the reported results and settle the question.",
    "Use the excerpt to answer the question. Do not go beyond what its data show.",
    "Consider the study results that are given and answer the question put to them.",
    "Decide the question as far as the passage allows.",
)


@dataclass(frozen=True)
class Question:
    """A question, the text that decides it, and yes, no or maybe."""

    id: str
    question: str
    context: str
    answer: str


def render(item: Question, task: Task[Question, str], format: str) -> tuple[str, str]:
    """Text, question and the allowed answers; then the answer."""
    allowed = f"{', '.join(task.labels[:-1])} or {task.labels[-1]}"
    return f"Text: {item.context}\nQuestion: {item.question}\nAnswer with {allowed}.", item.answer


def parse(text: str, item: Question, task: Task[Question, str], format: str) -> Answer[str]:
    """The answer that a text gives, whatever explains it. "No" counts as one at the beginning or alone in a clause.

    Problems: ``empty``, ``refusal``, ``no label``, ``several labels``.
    """
    answer = answers.unfenced(text)
    if not answer:
        return Answer(None, {"empty": 1})
    for part in (answer, *answers.parts(answer)[:-1]) if len(answer.split()) <= 5 else answers.parts(answer):
        found = _named(part, task.labels)
        if len(found) == 1:
            return Answer(found[0], {})
        if found:
            return Answer(None, {"several labels": 1})
    return Answer(None, {"refusal" if answers.refused(answer) else "no label": 1})


def _named(text: str, labels: tuple[str, ...]) -> list[str]:
    """The answers in a text: the one that it begins with, unless another is joined to it; or all that stand in it."""
    found = re.match(rf"\W*({'|'.join(labels)})\b(?!\s*(?:/|or\b|and\b))(?=(.*))", text, re.IGNORECASE | re.DOTALL)
    if found and not answers.named(re.split(r"[.,;:\n]", found[2])[0], [label for label in labels if label != "no"]):
        rest = re.match(rf"\W*({'|'.join(labels)})\W*$", found[2], re.IGNORECASE)
        return [found[1].lower()] if not rest or rest[1].lower() == found[1].lower() else [found[1], rest[1]]
    alone = re.sub(r"\b(no)\b(?=\s+\w)(?!\s+(?:or|and)\b)", " ", text, flags=re.IGNORECASE)  # "no" as in "no evidence"
    return answers.named(alone, labels)


def abstract_question(item: Question) -> str:
    """Text and question as lm-evaluation-harness puts PubMedQA."""
    return f"Abstract: {item.context}\nQuestion: {item.question}\nAnswer:"


YES_NO: Family[Question, str] = Family(
    name="yes_no",
    category="QA",
    wordings=WORDINGS,
    formats=("word",),
    gold=lambda item: item.answer,
    text=lambda item: f"{item.question}\n{item.context}",
    render=render,
    parse=parse,
    question=lambda item: item.question,
)

DECISIONS = ("yes", "no", "maybe")


def read_pubmedqa(folder: UPath, split: Split) -> Iterator[Question]:
    """The labelled 1,000 abstracts: test are the official 500 ids, train the others. The conclusion is not shown."""
    corpus, official = (folder / name for name in split.files)
    test = reading.json_tree(official)
    tree = reading.json_tree(corpus)
    lines, known = (reading.lines_of(file, r'"(\d+)"\s*:') for file in (corpus, official))
    for pmid, decision in test.items():
        found = tree.get(pmid)
        if not isinstance(found, dict):
            raise CorpusError(official, known.get(pmid, 0), f"{pmid} is not in {corpus.name}")
        if found.get("final_decision") != decision:
            raise CorpusError(
                official, known.get(pmid, 0), f"{pmid} is {reading.shown(decision)} here, but not in {corpus.name}"
            )
    for pmid, values in tree.items():
        if not isinstance(values, dict):
            raise CorpusError(corpus, lines.get(pmid, 0), f"{pmid} is {reading.shown(values)}, not an object")
        if (pmid in test) == (split.name == "test"):
            row = reading.Row(corpus, lines.get(pmid, 0), values)
            context = "\n".join(row.texts("CONTEXTS"))
            yield Question(pmid, row.text("QUESTION"), context, row.one_of("final_decision", DECISIONS))


def read_bioasq(folder: UPath, split: Split) -> Iterator[Question]:
    """The yes/no questions of task B, in the JSON of its participants' guidelines; the text is its snippets."""
    for name in split.files:
        questions = reading.json_tree(folder / name).get("questions")
        lines = reading.lines_of(folder / name, r'"id"\s*:\s*"([^"]+)"')
        if not isinstance(questions, list):
            raise CorpusError(folder / name, 0, "there is no list 'questions'")
        for place, values in enumerate(questions, 1):
            if not isinstance(values, dict):
                raise CorpusError(folder / name, 0, f"question {place} is {reading.shown(values)}, not an object")
            row = reading.Row(folder / name, lines.get(str(values.get("id")), 0), values)
            if row.get("type") == "yesno":
                yield _bioasq(row, place)


def _bioasq(row: reading.Row, place: int) -> Question:
    exact, snippets = row.get("exact_answer"), row.get("snippets")
    answer = exact[0] if isinstance(exact, list) and len(exact) == 1 else exact
    decision = answer.strip().strip(".").lower() if isinstance(answer, str) else ""
    if decision not in ("yes", "no"):
        row.fail(f"question {place}: 'exact_answer' is {reading.shown(answer)}, not yes or no")
    if not isinstance(snippets, list) or not all(isinstance(one, dict) for one in snippets):
        row.fail(f"question {place}: 'snippets' is not a list of objects")
    texts = dict.fromkeys(reading.Row(row.file, row.line, one).text("text") for one in snippets)
    return Question(row.text("id"), row.text("body"), "\n".join(texts), decision)


_PUBMEDQA = ("ori_pqal.json", "test_ground_truth.json")

TASKS = (
    Task(
        name="pubmedqa",
        title="PubMedQA, labelled by experts",
        family=YES_NO,
        folder="pubmedqa",
        splits=(Split("train", _PUBMEDQA, 500), Split("test", _PUBMEDQA, 500)),
        read=read_pubmedqa,
        licence=Licence("open", "MIT", "github.com/pubmedqa/pubmedqa, data/"),
        labels=DECISIONS,
        figures=(
            Figure("majority of the labels", 55.2, "accuracy", "test", "counted"),
            Figure("Llama-2-7B-chat", 73.4, "accuracy", "test", "lm-evaluation-harness, zero-shot, no template"),
            Figure("Llama-2-13B", 21.6, "accuracy", "test", "Me-LLaMA, table 3, zero-shot, generated text"),
            Figure("Llama-2-13B, instruction-tuned", 43.6, "accuracy", "test", "Me-LLaMA, table 3, zero-shot"),
            Figure("LLaMA-1-7B", 5.2, "accuracy", "test", "LMFlow, generated text"),
            Figure("PubMedBERT", 55.8, "accuracy", "test", "BioLinkBERT"),
            Figure("BioLinkBERT-base", 70.2, "accuracy", "test", "BioLinkBERT"),
            Figure("BioLinkBERT-large", 72.2, "accuracy", "test", "BioLinkBERT"),
            Figure("Meditron-7B", 69.3, "accuracy", "test", "Meditron, 3-shot; the standard deviation is 15"),
            Figure("Me-LLaMA-13B-chat", 70.0, "accuracy", "test", "Me-LLaMA"),
        ),
        likelihood=Likelihood(abstract_question, "pubmedqa"),
        tried=True,
        note="The official score is accuracy and macro-F1 over all 500 test ids. The publisher divides the other 500 "
        "into ten folds for training and development; here all of them are train.",
    ),
    Task(
        name="bioasq_yes_no",
        title="BioASQ task 7b, yes/no questions",
        family=YES_NO,
        folder="bioasq",
        splits=(
            Split("train", ("BioASQ-training7b/trainining7b.json",)),  # spelt so by the publisher
            Split("test", tuple(f"Task7BGoldenEnriched/7B{batch}_golden.json" for batch in range(1, 6))),
        ),
        read=read_bioasq,
        licence=Licence("restricted", "BioASQ terms", "participants-area.bioasq.org, after registration"),
        labels=("yes", "no"),
        likelihood=Likelihood(abstract_question),
        note="BLURB keeps 75 of the training questions for development; which they are, its own release says.",
    ),
)
