"""The second pass: outputs asked for on their own, of one teacher or of several that must agree."""

import hashlib
from collections.abc import Sequence

from bioinstruct_jax.api.request import Reply, Request
from bioinstruct_jax.generation import prompts
from bioinstruct_jax.generation.filters import excess
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.parsing import parse_answer
from bioinstruct_jax.generation.pool import Answer, Candidate
from bioinstruct_jax.similarity.rouge import rouge_l

LABELS = 12  # a multiple of most numbers of labels, so that each label's turn comes equally often


def labels_first(job: Generate) -> bool:
    """Whether inputs of classification tasks are written for a label; for a consensus all must be asked the same."""
    return job.answers.by == "second_pass" and len(job.answers.teachers) < 2


def requests(job: Generate, candidate: Candidate) -> list[Request]:
    """What is asked for a candidate: one request for each teacher."""
    row = candidate.row
    found = []
    for teacher in job.answers.teachers or (row.teacher,):
        if candidate.classification and labels_first(job):
            place = hashlib.blake2b(row.id.encode(), digest_size=1).digest()[0] % LABELS + 1
            found.append(
                Request(
                    f"label/{row.id}/{teacher}", teacher, prompts.label(row.instruction, place), prompts.LABEL_SCHEMA
                )
            )
        else:
            messages = prompts.answer(row.instruction, row.input)
            found.append(Request(f"answer/{row.id}/{teacher}", teacher, messages, prompts.ANSWER_SCHEMA))
    return found


def settled(job: Generate, candidate: Candidate, asked: Sequence[Request], replies: Sequence[Reply]) -> Answer:
    """The answer that stands: the only one, or the one that agrees most with the others.

    Agreement is the mean ROUGE-L (F1) with each other teacher's answer. A teacher that gave none agrees with nobody and
    is not counted; a consensus takes two answers at least.
    """
    answers: list[Answer] = []
    problems: list[str] = []
    for request, reply in zip(asked, replies, strict=True):
        made = _read(candidate, request, reply, job.filters.most_output_words)
        answers += [] if made.reason else [made]
        problems += [f"{request.endpoint}: {made.detail}"] if made.reason else []
    if len(asked) == 1:
        return made
    if len(answers) < 2:
        detail = f"{len(answers)} of {len(asked)} teachers answered ({'; '.join(problems)})"
        return Answer(reason="no_consensus" if answers else "no_answer", detail=detail)
    means = [
        sum(rouge_l(one.output, other.output) for other in answers if other is not one) / (len(answers) - 1)
        for one in answers
    ]
    best = max(range(len(answers)), key=lambda place: (means[place], -place))
    if means[best] < job.answers.agreement:
        return Answer(
            reason="no_consensus", detail=f"mean ROUGE-L {means[best]:.4f}, {job.answers.agreement} is needed"
        )
    return answers[best]


def _read(candidate: Candidate, request: Request, reply: Reply, most: int) -> Answer:
    if reply.problem:
        return Answer(reason="no_answer", detail=reply.problem)
    if reply.finish == "length":
        return Answer(reason="no_answer", detail="cut off by max_tokens")
    said = parse_answer(reply.text) or {}
    if request.key.startswith("label/"):
        label, written = said.get("label", "").strip(), said.get("input", "").strip()
        if not label or not written:
            return Answer(reason="no_answer", detail="no label and input in the answer")
        return Answer(written, label, request.endpoint)
    output = said.get("output", "").strip()
    if not output:
        return Answer(reason="no_answer", detail="no output in the answer")
    if too_long := excess(output, most):  # before it is compared with others: that takes the product of their lengths
        return Answer(reason="too_long", detail=f"output: {too_long}")
    return Answer(candidate.row.input, output, request.endpoint)
