"""A study's findings, made by hand: two arms that leave something out, three seeds, a curve, papers beside."""

import random
from dataclasses import replace
from statistics import fmean

from bioinstruct_jax.config import Source
from bioinstruct_jax.evaluation.runner.job import Model
from bioinstruct_jax.studies.found import Contrast, Found, Rows, Score, State
from bioinstruct_jax.studies.grid import Cell, cells
from bioinstruct_jax.studies.job import Arm, Curve, Hypothesis, Learner, Reported, Study

HOSTILE = "<b>&\"a_b' $x$ 100% #1 \\n {c} ~d^e β|*"
TASKS = {
    "pubmedqa": ("QA", "acc", "share", 0.34, 0.552),
    "medqa": ("QA", "acc", "share", 0.25, 0.27),
    "ncbi_disease": ("IE", "f1", "share", 0.0, None),
    "hoc": ("IE", "micro_f1", "share", 0.11, 0.05),
    "meqsum": ("GEN", "chrf", "points", 18.4, None),
    "mts_dialog": ("GEN", "brier", "error", 0.62, None),
}


def job(out="study", **more) -> Study:
    given = {
        "models": tuple(Learner(name=name, settings="tiny.yaml") for name in ("tiny", "larger")),
        "pool": (Source(path="rows.jsonl"),),
        "arms": (Arm(name="all"), Arm(name="QA", only=("QA",)), Arm(name="no-IE", without=("IE",))),
        "curve": Curve(),
        "hypotheses": tuple(Hypothesis(on=on) for on in ("QA", "IE", "GEN")),
        "comparators": (Model(name="other", model="other"),),
    }
    return Study(out=str(out), **given | more)


def found(study=None, tasks=TASKS, title="Which instructions help which tasks?", seed=0) -> Found:
    """Scores of every cell of a study: tuning helps, the more rows the better, and differs by seed."""
    study = study or job()
    grid = cells(study)
    draw = random.Random(seed)
    groups = list(dict.fromkeys(group for group, *_ in tasks.values()))
    scores = []
    for model, arm, size in dict.fromkeys((one.model, one.arm, one.size) for one in grid):
        lift = {"": 0.0, "natural": 1.0, "matched": 0.6}.get(size)
        lift = 0.6 + float(size) ** 0.5 / 3 if lift is None else lift
        made = [_score(model, arm, size, on, tasks[on], lift * (arm != "QA" or tasks[on][0] == "QA"), draw)
                for on in tasks]  # fmt: skip
        scores += made + [_mean([one for one in made if one.group == group], group) for group in groups]
    contrasts = [_contrast(one, other, draw) for one in scores for other in scores if _compared(one, other)]
    declared = {(one.on, one.arm, one.against, one.size, one.protocol) for one in study.hypotheses}
    contrasts = [
        replace(one, primary=True, holm=None if one.p is None else min(1.0, 3 * one.p))
        if (one.on, one.arm, one.against, one.size, one.protocol) in declared
        else one
        for one in contrasts
    ]
    return Found(
        title=title,
        states=tuple(_state(one) for one in grid),
        rows=tuple(_rows(arm.name, size, seed) for size in ("natural", "matched")
                   for seed in ((None,) if size == "natural" else study.seeds) for arm in study.arms),
        removed={"meets an item of pubmedqa (test)": 41, "the same as another row": 17},
        scores=tuple(scores),
        contrasts=tuple(contrasts),
        reported=(
            Reported(model="LLaMA-7B", paper="a paper (2024)", scores={"QA": 41.5, "IE": 30.25}, note="another split"),
            Reported(model="LLaMA-7B, tuned", paper="a paper (2024)", scores={"QA": 17.3}, gains=True),
        ),
        notes=("1 cell failed; see Cells.",),
        settings="title: x\nseeds: [0, 1, 2]\n",
    )  # fmt: skip


def _score(model, arm, size, on, task, lift, draw):
    group, metric, unit, base, majority = task
    scale = 100.0 if unit == "points" else 1.0
    lower = unit == "error"
    values = [base + (-1 if lower else 1) * scale * (0.12 * lift + (0.01 * draw.gauss(0, 1) if size else 0.0))
              for _ in range(3 if size else 1)]  # fmt: skip
    value = fmean(values)
    ends = (value - 0.03 * scale, value + 0.03 * scale)
    seeds = tuple(values) if size else ()
    return Score(model, arm, size, on, group, "generated", metric, unit, not lower, value, seeds, *ends,
                 answered=0.7 + 0.25 * lift, items=500, majority=majority)  # fmt: skip


def _mean(these, group):
    def share(one, value):
        return value / 100 if one.unit == "points" else value

    these = [one for one in these if one.unit in ("share", "points")]
    first = these[0]
    value = fmean(share(one, one.value) for one in these)
    seeds = tuple(fmean(share(one, one.seeds[at]) for one in these) for at in range(len(first.seeds)))
    return replace(first, on=group, metric="mean", unit="share", higher_is_better=True, value=value, seeds=seeds,
                   low=value - 0.02, high=value + 0.02, items=500 * len(these), majority=None)  # fmt: skip


def _compared(one, other):
    same = (one.model, one.on) == (other.model, other.on)
    against_all = other.arm == "all" and one.size == other.size == "matched" and one.arm not in ("all", "")
    return same and one.size != "" and (other.arm == "base" or against_all)


def _contrast(one, other, draw):
    difference = one.value - other.value
    error = 1.5 if one.unit == "points" else 0.015
    p = min(1.0, 0.5 ** (abs(difference) / error) * (0.5 + draw.random()))
    return Contrast(one.model, one.arm, one.size, other.arm, one.on, one.group, one.protocol, one.metric, one.unit,
                    other.value, one.value, difference, difference - 2 * error, difference + 2 * error, p,
                    clean=difference - error / 3 if one.on == "pubmedqa" else None,
                    relative=difference / other.value if other.value > 0.05 else None)  # fmt: skip


def _state(cell: Cell) -> State:
    if cell.name.endswith("QA-matched-s2"):
        return State(cell, "failed", "CUDA out of memory: 3 GiB <wanted>", 12.5, log=f"logs/{cell.name}.log")
    run = f"runs/{cell.name}" if cell.kind == "tuned" else ""
    return State(cell, "finished", "", 754.0, run, f"scores/{cell.name}", f"logs/{cell.name}.log")


def _rows(arm, size, seed):
    count = {"all": 3000, "QA": 1400, "no-IE": 1900}.get(arm, 2000) if size == "natural" else 1200
    tokens = 38 * count + (7 * len(arm) if size == "matched" else 0)
    names = {"QA": ("QA",), "no-IE": ("QA", "GEN")}.get(arm, ("QA", "IE", "GEN"))
    parts = {name: (count // len(names), tokens // len(names)) for name in names}
    name = f"arms/{arm}-{size}" + ("" if seed is None else f"-s{seed}") + ".jsonl"
    return Rows(arm, size, seed, name, "0123456789abcdef" * 4, count, tokens, parts)
