"""What the scripted teacher writes: tasks composed by rule, each with the answer that follows from its facts."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from bioinstruct_jax.generation.scripted_facts import AUDIENCES, CONTEXTS, DRUGS, LABS, NOTES, PROBLEMS, SYMPTOMS, TERMS

TIMES = {1: "once daily", 2: "twice daily", 3: "three times daily"}
Task = dict[str, Any]


@dataclass(frozen=True)
class Patient:
    """An invented patient and the note about them."""

    age: int
    sex: str
    problems: list[str]
    drugs: list[tuple[str, int, str, int, str]]
    present: list[str]
    absent: list[str]
    days: int
    pulse: int
    pressure: tuple[int, int]

    @property
    def taken(self) -> list[str]:
        return [f"{name} {dose} {unit} {TIMES[times]}" for name, dose, unit, times, _ in self.drugs]

    def note(self, kind: str) -> str:
        """A note of five sentences under a heading."""
        them = "She" if self.sex == "woman" else "He"
        return (
            f"{kind.upper()}\n{self.age}-year-old {self.sex} with {_and(self.problems)}. Takes {_and(self.taken)}. "
            f"Presents with {_and(self.present)} for {self.days} days. {them} denies {_or(self.absent)}. "
            f"Pulse {self.pulse}/min, blood pressure {self.pressure[0]}/{self.pressure[1]} mmHg."
        )


def patient(draw: Random) -> Patient:
    """A patient who was never there; the same draws give the same one."""
    symptoms = draw.sample(SYMPTOMS, 4)
    low = draw.randrange(60, 95)
    return Patient(
        age=draw.randrange(19, 92),
        sex=draw.choice(("woman", "man")),
        problems=draw.sample(PROBLEMS, 2),
        drugs=draw.sample(DRUGS, 2 + draw.randrange(2)),
        present=symptoms[:2],
        absent=symptoms[2:],
        days=draw.randrange(2, 15),
        pulse=draw.randrange(58, 118),
        pressure=(low + draw.randrange(35, 70), low),
    )


def task(draw: Random) -> Task:
    """One task, sound in itself; what stands around the request says nothing of the answer."""
    made, context = draw.choice(KINDS)(draw), draw.choice(CONTEXTS)
    asked = made["instruction"]
    return made | {"instruction": f"{context} {asked}" if draw.random() < 0.25 else f"{asked} {context}"}


def _made(instruction: str, input: str, output: str, *, closed: bool = False) -> Task:
    return {"instruction": instruction, "input": input, "output": output, "is_classification": closed}


def _medicines(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    words = draw.choice(
        (
            f"List each medicine named in this {kind} from {place}, one a line, with dose and frequency.",
            f"Extract the current drug treatment from the {place} {kind} below as name, dose, frequency.",
            f"Which medicines does the {kind} mention? Give every one with its dose, separated by semicolons.",
            f"Pull out the prescriptions that a pharmacist of {place} would copy from this {kind}.",
        )
    )
    return _made(words, who.note(kind), ("; " if "semicolons" in words else "\n").join(who.taken))


def _negated(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    words = draw.choice(
        (
            f"Name the symptoms that are explicitly denied in the {kind}.",
            f"Identify every negated finding of this {place} {kind} and give them in the order of the text.",
            "What does the patient say they do not have? Answer with a list separated by commas.",
            f"Find the pertinent negatives that a doctor in {place} would read out from this text.",
        )
    )
    return _made(words, who.note(kind), ", ".join(who.absent))


def _takes(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    asked = draw.choice((draw.choice(who.drugs)[0], draw.choice(DRUGS)[0]))
    words = draw.choice(
        (
            f"Does this patient take {asked}? Answer yes or no.",
            f"Decide from the {kind} whether {asked} is among the treatments; reply yes or no.",
            f"Check the {place} record for {asked} and answer with a single word, yes or no.",
        )
    )
    return _made(words, who.note(kind), "yes" if asked in [drug[0] for drug in who.drugs] else "no", closed=True)


def _purpose(draw: Random) -> Task:
    name, _, _, _, purpose = draw.choice(DRUGS)
    reader = draw.choice(AUDIENCES)
    words = draw.choice(
        (
            f"What is {name} commonly used for? Answer for {reader} in one sentence.",
            f"A question from {reader}: why would somebody be given {name}?",
            f"State one usual indication of {name} in words that {reader} understands.",
        )
    )
    return _made(words, "", f"{name[0].upper()}{name[1:]} is commonly used for {purpose}.")


def _term(draw: Random) -> Task:
    (name, meaning), reader = draw.choice(TERMS), draw.choice(AUDIENCES)
    words = draw.choice(
        (
            f"Explain the word {name} to {reader}.",
            f"Rewrite the term {name} in plain English, as you would for {reader}.",
            f"Define {name} in a sentence without further jargon; the reader is {reader}.",
            f"How would you tell {reader} what {name} means?",
        )
    )
    return _made(words, "", f"{name[0].upper()}{name[1:]} means {meaning}.")


def _lab(draw: Random) -> Task:
    name, unit, low, high, digits = draw.choice(LABS)
    width = high - low
    value = round(draw.uniform(max(0, low - width / 2), high + width / 2), digits)
    shown = f"{value:.{digits}f}"
    label = "low" if float(shown) < low else "high" if float(shown) > high else "normal"
    words = draw.choice(
        (
            f"Classify the {name} result as low, normal or high against the reference range that is given.",
            f"Compare this {name} value with its range and reply low, normal or high.",
            f"Is the {name} below, within or above its range? Reply with low, normal or high.",
        )
    )
    return _made(words, f"{name}: {shown} {unit} (reference {low} to {high} {unit})", label, closed=True)


def _pulse_pressure(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    high, low = who.pressure
    words = draw.choice(
        (
            f"Calculate the pulse pressure in mmHg from this {kind}; show the subtraction.",
            f"Work out systolic minus diastolic pressure for the patient of the {place} {kind} and show each step.",
        )
    )
    return _made(words, who.note(kind), f"{high} - {low} = {high - low} mmHg")


def _daily_dose(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    name, dose, unit, times, _ = draw.choice(who.drugs)
    words = draw.choice(
        (
            f"Compute the total daily dose of {name} from the note.",
            f"How much {name} does the patient take in 24 hours according to the {kind}?",
            f"For a {place} audit, give the amount of {name} taken each day with its unit.",
        )
    )
    return _made(words, who.note(kind), f"{dose} {unit} x {times} = {dose * times} {unit} a day")


def _handover(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    words = draw.choice(
        (
            f"Summarise the {kind} in one sentence for the next shift.",
            f"Write a single-sentence handover for a colleague in {place}, with age, problems and complaint.",
            f"Condense this {kind} to what a {place} registrar must know on the phone, in one sentence.",
            f"Draft the opening sentence of a {place} letter from the facts of this {kind}.",
        )
    )
    told = f"{who.age}-year-old {who.sex} with {_and(who.problems)}, {who.days} days of {_and(who.present)}; "
    return _made(words, who.note(kind), f"{told}denies {_or(who.absent)}.")


def _problems(draw: Random) -> Task:
    who, (kind, place) = patient(draw), draw.choice(NOTES)
    words = draw.choice(
        (
            f"Give the problem list of this {kind} as a numbered list of long-term conditions.",
            f"Number the chronic diagnoses that the {place} {kind} states.",
            f"Create a numbered list of established diagnoses for a {place} database.",
        )
    )
    return _made(words, who.note(kind), "\n".join(f"{at}. {name}" for at, name in enumerate(who.problems, 1)))


KINDS: tuple[Callable[[Random], Task], ...] = (
    _medicines,
    _negated,
    _takes,
    _purpose,
    _term,
    _lab,
    _pulse_pressure,
    _daily_dose,
    _handover,
    _problems,
)


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _or(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}"
