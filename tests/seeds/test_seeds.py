"""Checks on the 80 seed tasks: counts, schema, coverage, variety, lengths, quotations, numbers and cleanliness.

Every rule is a function that returns a list of problems, so that the last tests can break a copy in memory and see
it caught.
"""

from __future__ import annotations

import ast
import copy
import functools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rouge_score import rouge_scorer

Seed = dict[str, Any]

SEEDS_DIR = Path(__file__).resolve().parents[2] / "seeds"
# category: (rows, id prefix)
CATEGORIES = {
    "extraction": (27, "ext"),
    "generation": (27, "gen"),
    "question_answering": (18, "qa"),
    "other": (8, "oth"),
}
SEED_TYPES: dict[str, type] = {
    "id": str,
    "name": str,
    "category": str,
    "is_classification": bool,
    "specialty": str,
    "note_type": str,
    "hard_cases": list,
    "instances": list,
    "checks": list,
}
INSTANCE_KEYS = ["instruction", "input", "output"]
CHECK_KEYS = ["spans", "computed", "knowledge"]
COMPUTED_KEYS = ["shown", "expression", "value"]
HARD_CASES = ["negation", "abbreviations", "units and doses", "temporality", "uncertainty", "not stated"]
# words: (fewest, most)
LENGTHS = {"instruction": (6, 90), "input": (0, 320), "output": (1, 280)}
ROUGE_LIMIT = 0.7

NUMBER = re.compile(r"\d+(?:\.\d+)?")
QUOTED = re.compile(r'"([^"]+)"')
# Control characters other than newline, C1 controls, no-break and zero-width spaces, soft hyphen, curly quotes, BOM,
# U+FFFD.
FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00a0\u00ad\u2007\u2018-\u201f\u2028\u2029\u200b-\u200f\u202f\u2060\ufeff\ufffd]"
)
IDENTIFIERS = [
    re.compile(r"\bMRN\b", re.IGNORECASE),
    re.compile(r"\bNHS (?:no|number)\b", re.IGNORECASE),
    re.compile(r"\bSSN\b|\b\d{3}-\d{2}-\d{4}\b"),
    re.compile(r"\b(?:date of birth|DOB)\b", re.IGNORECASE),
    re.compile(r"(?<![\d.])\+?\d{0,3}[ .-]?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?!\d)"),
    re.compile(r"(?<![\d.])\d{3} \d{3} \d{4}(?!\d)"),
    re.compile(r"(?<![\d.])0\d{9,10}(?!\d)"),
    re.compile(r"(?<![\d.])0\d{2,4} \d{3,4} ?\d{3,4}(?!\d)"),
    re.compile(r"[\w.+-]+@[\w-]+\.\w+"),
]


def load(category: str) -> list[Seed]:
    """Read one category's file; a missing file is an empty list."""
    path = SEEDS_DIR / f"{category}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def load_all() -> list[Seed]:
    """Read every seed in the order of the categories."""
    return [seed for category in CATEGORIES for seed in load(category)]


def pairs(seeds: list[Seed]) -> Iterator[tuple[str, Seed, dict[str, str], dict[str, Any]]]:
    """Yield a label, the seed, one instance and that instance's checks."""
    for seed in seeds:
        for index, (instance, check) in enumerate(zip(seed["instances"], seed["checks"], strict=False)):
            yield f"{seed['id']}[{index}]", seed, instance, check


def words(text: str) -> int:
    """Count words separated by white space."""
    return len(text.split())


def numbers(text: str) -> list[str]:
    """List the numbers printed in a text."""
    return NUMBER.findall(text)


def evaluate(expression: str) -> float:
    """Evaluate plain arithmetic: numbers, + - * / **, unary minus, round and parentheses."""

    def visit(node: ast.AST) -> float:
        if isinstance(node, ast.Expression):
            return visit(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -visit(node.operand)
        if isinstance(node, ast.BinOp):
            left, right = visit(node.left), visit(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Div):
                return left / right
            if isinstance(node.op, ast.Pow):
                if abs(right) > 16:
                    raise ValueError("exponent too large")
                return float(left**right)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round":
            arguments = [visit(argument) for argument in node.args]
            if not node.keywords and len(arguments) == 1:
                return round(arguments[0])
            if not node.keywords and len(arguments) == 2 and isinstance(arguments[1], int):
                return round(arguments[0], arguments[1])
        raise ValueError(f"not plain arithmetic: {ast.dump(node)}")

    return visit(ast.parse(expression, mode="eval"))


def json_strings(value: Any) -> Iterator[str]:
    """Yield every string value, not the keys, inside parsed JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from json_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from json_strings(item)


def check_counts(seeds: list[Seed]) -> list[str]:
    """Each category has its number of rows."""
    found = Counter(seed["category"] for seed in seeds)
    wanted = {name: rows for name, (rows, _) in CATEGORIES.items()}
    problems = [f"{name}: {found[name]} rows, not {rows}" for name, rows in wanted.items() if found[name] != rows]
    if len(seeds) != 80:
        problems.append(f"{len(seeds)} seeds, not 80")
    return problems


def check_schema(seeds: list[Seed]) -> list[str]:
    """Keys, types, ids in order, unique names, known categories, one check for each instance."""
    problems: list[str] = []
    position: Counter[str] = Counter()
    for seed in seeds:
        label = str(seed.get("id"))
        if list(seed) != list(SEED_TYPES):
            problems.append(f"{label}: keys {list(seed)}")
            continue
        wrong = [key for key, kind in SEED_TYPES.items() if type(seed[key]) is not kind]
        if wrong:
            problems.append(f"{label}: wrong type in {wrong}")
            continue
        problems += [f"{label}: {key} is empty" for key in ("name", "specialty", "note_type") if not seed[key]]
        if seed["category"] not in CATEGORIES:
            problems.append(f"{label}: unknown category {seed['category']}")
            continue
        position[seed["category"]] += 1
        expected = f"{CATEGORIES[seed['category']][1]}_{position[seed['category']]:03d}"
        if label != expected:
            problems.append(f"{label}: should be {expected}")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", seed["name"]):
            problems.append(f"{label}: name {seed['name']!r} is not snake case")
        if any(type(case) is not str or not case for case in seed["hard_cases"]):
            problems.append(f"{label}: hard_cases are not all strings")
        if len(set(map(str, seed["hard_cases"]))) != len(seed["hard_cases"]):
            problems.append(f"{label}: a hard case is repeated")
        if not seed["instances"] or len(seed["instances"]) != len(seed["checks"]):
            problems.append(f"{label}: {len(seed['instances'])} instances, {len(seed['checks'])} checks")
        for instance in seed["instances"]:
            if list(instance) != INSTANCE_KEYS or any(type(text) is not str for text in instance.values()):
                problems.append(f"{label}: instance keys or types {list(instance)}")
        for check in seed["checks"]:
            problems += [f"{label}: {problem}" for problem in check_types(check)]
    problems += [f"{key} {value!r} is used {count} times" for key in ("id", "name")
                 for value, count in Counter(str(seed.get(key)) for seed in seeds).items() if count > 1]  # fmt: skip
    return problems


def check_types(check: dict[str, Any]) -> list[str]:
    """Keys and types of one entry of `checks`."""
    if list(check) != CHECK_KEYS or any(type(value) is not list for value in check.values()):
        return [f"check keys or types {list(check)}"]
    problems = [f"{key} holds {item!r}" for key in ("spans", "knowledge") for item in check[key]
                if type(item) is not str or not item]  # fmt: skip
    for item in check["computed"]:
        if list(item) != COMPUTED_KEYS or type(item["shown"]) is not str or type(item["expression"]) is not str:
            problems.append(f"computed keys or types {item}")
        elif type(item["value"]) not in (int, float):
            problems.append(f"computed value {item['value']!r} is not a number")
    return problems


def check_coverage(seeds: list[Seed]) -> list[str]:
    """At least 20 specialties and 20 note types, and each hard case at least 4 times."""
    problems: list[str] = []
    for key in ("specialty", "note_type"):
        kinds = {seed[key].strip().lower() for seed in seeds}
        if len(kinds) < 20:
            problems.append(f"only {len(kinds)} kinds of {key}")
    found = Counter(case for seed in seeds for case in set(seed["hard_cases"]))
    return problems + [f"hard case {case!r} only {found[case]} times" for case in HARD_CASES if found[case] < 4]


@functools.cache
def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F of two instructions, without stemming."""
    return float(rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score(first, second)["rougeL"].fmeasure)


def check_variety(seeds: list[Seed]) -> list[str]:
    """No two instructions of different seeds are near copies."""
    texts = [(seed["id"], text) for seed in seeds for text in sorted({i["instruction"] for i in seed["instances"]})]
    problems: list[str] = []
    for index, (name, text) in enumerate(texts):
        for other_name, other in texts[:index]:
            if name != other_name and (score := rouge_l(other, text)) >= ROUGE_LIMIT:
                problems.append(f"{other_name} and {name}: instructions with ROUGE-L {score:.2f}")
    return problems


def check_lengths(seeds: list[Seed]) -> list[str]:
    """Instruction, input and output keep to their ranges in words."""
    return [
        f"{label}: {key} of {words(instance[key])} words"
        for label, _, instance, _ in pairs(seeds)
        for key, (low, high) in LENGTHS.items()
        if not low <= words(instance[key]) <= high
    ]


def check_spans(seeds: list[Seed]) -> list[str]:
    """Every span stands letter for letter in both input and output; an extraction names at least one."""
    bare = [
        f"{label}: an extraction without spans"
        for label, seed, _, check in pairs(seeds)
        if seed["category"] == "extraction" and not seed["is_classification"] and not check["spans"]
    ]
    return bare + [
        f"{label}: span {span!r} not in {key}"
        for label, _, instance, check in pairs(seeds)
        for span in check["spans"]
        for key in ("input", "output")
        if span not in instance[key]
    ]


def check_quotations(seeds: list[Seed]) -> list[str]:
    """Quotations and JSON values of an extraction come from its input, or are labels of its instruction."""
    problems: list[str] = []
    for label, seed, instance, _ in pairs(seeds):
        if seed["category"] != "extraction":
            continue
        if not instance["output"].startswith(("{", "[")):
            if instance["output"].count('"') % 2:
                problems.append(f"{label}: unpaired quotation mark")
            problems += [
                f"{label}: quotation {text!r} not in input"
                for text in QUOTED.findall(instance["output"])
                if text not in instance["input"]
            ]
            continue
        try:
            values = list(json_strings(json.loads(instance["output"])))
        except json.JSONDecodeError as error:
            problems.append(f"{label}: output is not JSON: {error}")
            continue
        problems += [
            f"{label}: JSON value {text!r} neither in input nor a label of the instruction"
            for text in values
            if not has_source(text, instance)
        ]
    return problems


def has_source(text: str, instance: dict[str, str]) -> bool:
    """As whole words in the input, or in the instruction; in lower case where the instruction asks for that."""
    whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    lowered = "lower case" in instance["instruction"] and whole.search(instance["input"].lower())
    return bool(text and (whole.search(instance["input"]) or whole.search(instance["instruction"]) or lowered))


def check_computed(seeds: list[Seed]) -> list[str]:
    """Expressions give their values, and the values agree with the figures printed."""
    problems: list[str] = []
    for label, _, instance, check in pairs(seeds):
        for item in check["computed"]:
            shown, value = item["shown"], item["value"]
            if shown not in instance["output"]:
                problems.append(f"{label}: computed {shown!r} not in output")
            printed = numbers(shown)
            if not printed:
                problems.append(f"{label}: computed {shown!r} shows no number")
                continue
            places = len(printed[0].partition(".")[2])
            try:
                result = evaluate(item["expression"])
            except (ValueError, SyntaxError, ZeroDivisionError, TypeError) as error:
                problems.append(f"{label}: expression {item['expression']!r}: {error}")
                continue
            candidates = (result, round(result, places))
            if not any(math.isclose(candidate, value, rel_tol=1e-9, abs_tol=1e-12) for candidate in candidates):
                problems.append(f"{label}: {item['expression']} is {result}, not {value}")
            if abs(abs(value) - float(printed[0])) > 0.5 * 10.0**-places * (1 + 1e-9):
                problems.append(f"{label}: value {value} printed as {shown!r}")
    return problems


def check_numbers(seeds: list[Seed]) -> list[str]:
    """Every number of an output has a source, and no knowledge number is left over."""
    problems: list[str] = []
    for label, _, instance, check in pairs(seeds):
        given = set(numbers(instance["instruction"])) | set(numbers(instance["input"]))
        computed = {number for item in check["computed"] for number in numbers(item["shown"])}
        known = {number for text in check["knowledge"] for number in numbers(text)}
        used = numbers(instance["output"])
        missing = sorted(set(used) - given - computed - known)
        if missing:
            problems.append(f"{label}: numbers without a source {missing}")
        if known - set(used):
            problems.append(f"{label}: knowledge not in output {sorted(known - set(used))}")
    return problems


def check_clean(seeds: list[Seed]) -> list[str]:
    """No forbidden characters, no white space at the ends, no patient identifiers."""
    problems: list[str] = []
    for label, _, instance, _ in pairs(seeds):
        for key, text in instance.items():
            if match := FORBIDDEN.search(text):
                problems.append(f"{label}: {key} holds U+{ord(match.group()):04X}")
            if text != text.strip() or re.search(r"[ \t]+$", text, re.MULTILINE):
                problems.append(f"{label}: {key} has white space at an end")
            matches = [match for pattern in IDENTIFIERS if (match := pattern.search(text))]
            problems += [f"{label}: {key} holds {match.group()!r}" for match in matches]
    return problems


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    """All seeds, read once; tests that change them copy them first."""
    return load_all()


def test_counts(seeds: list[Seed]) -> None:
    # Mutation: delete the last line of other.jsonl.
    assert check_counts(seeds) == []


def test_schema(seeds: list[Seed]) -> None:
    # Mutation: rename ext_002 to ext_003, or drop one entry of a two-instance task's checks.
    assert check_schema(seeds) == []


def test_files_hold_their_own_category() -> None:
    # Mutation: move a row of generation.jsonl to extraction.jsonl.
    assert [seed["id"] for category in CATEGORIES for seed in load(category) if seed["category"] != category] == []


def test_coverage(seeds: list[Seed]) -> None:
    # Mutation: set every specialty to "medicine", or strip "not stated" from all hard_cases.
    assert check_coverage(seeds) == []


def test_instructions_differ(seeds: list[Seed]) -> None:
    # Mutation: paste gen_001's instruction into gen_002 with one word changed.
    assert check_variety(seeds) == []


def test_lengths(seeds: list[Seed]) -> None:
    # Mutation: cut an instruction to five words, or empty an output.
    assert check_lengths(seeds) == []


def test_spans(seeds: list[Seed]) -> None:
    # Mutation: change one letter of a quoted dose in an output.
    assert check_spans(seeds) == []


def test_quotations(seeds: list[Seed]) -> None:
    # Mutation: paraphrase one string value of a JSON extraction.
    assert check_quotations(seeds) == []


def test_computed(seeds: list[Seed]) -> None:
    # Mutation: print 7.8 mL for 7.875 mL in qa_008.
    assert check_computed(seeds) == []


def test_numbers(seeds: list[Seed]) -> None:
    # Mutation: turn a 10 mg of an output into 97 mg, a number of no source.
    assert check_numbers(seeds) == []


def test_clean(seeds: list[Seed]) -> None:
    # Mutation: replace a straight apostrophe by a curly one, or add "MRN 4411" to an input.
    assert check_clean(seeds) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("-(1 - 3) ** 2", -4),
        ("round(7.875, 1)", 7.9),
        ("round(423.4, -1)", 420),
        ("0.0001 ** 0.5", 0.01),
    ],
)
def test_evaluate(expression: str, value: float) -> None:
    # Mutation: drop ast.Pow, or ignore the second argument of round.
    assert evaluate(expression) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "abs(-1)",
        "x + 1",
        "True + 1",
        "'a' * 3",
        "1 if 1 else 2",
        "7 // 2",
        "7 % 2",
        "[1][0]",
        "round(1.5, ndigits=1)",
        "9 ** 99",
    ],
)
def test_evaluate_refuses(expression: str) -> None:
    # Mutation: accept any ast.Call, any ast.Constant or any operator.
    with pytest.raises(ValueError, match=r"not plain arithmetic|exponent too large"):
        evaluate(expression)


def broken(seeds: list[Seed], seed_id: str) -> tuple[list[Seed], Seed]:
    """Copy the seeds and return the copy with the seed to be broken in it."""
    copied = copy.deepcopy(seeds)
    return copied, next(seed for seed in copied if seed["id"] == seed_id)


def test_missing_row_is_caught(seeds: list[Seed]) -> None:
    # Mutation: count all seeds together and forget the categories.
    assert check_counts(seeds[:-1]) != []
    copied, seed = broken(seeds, "oth_008")
    seed["category"] = "question_answering"
    assert check_counts(copied) != []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "qa_007"),
        ("id", "qa_106"),
        ("name", "amoxicillin_suspension_volume"),
        ("is_classification", "no"),
        ("category", "answers"),
        ("checks", []),
        ("notes", "x"),
    ],
)
def test_broken_schema_is_caught(seeds: list[Seed], key: str, value: Any) -> None:
    # Mutation: skip the order of ids, unique names, types, categories, pairing or unknown keys in check_schema.
    copied, seed = broken(seeds, "qa_006")
    seed[key] = value
    assert any("qa_006" in problem or repr(value) in problem for problem in check_schema(copied))


def test_wrong_type_in_a_check_is_caught(seeds: list[Seed]) -> None:
    # Mutation: do not look inside `computed`.
    copied, seed = broken(seeds, "qa_008")
    seed["checks"][0]["computed"][0]["value"] = "1260"
    assert any("qa_008" in problem for problem in check_schema(copied))


def test_poor_coverage_is_caught(seeds: list[Seed]) -> None:
    # Mutation: lower the 20 specialties to 1, or the 4 hard cases to 0.
    copied = copy.deepcopy(seeds)
    for seed in copied:
        seed["specialty"] = "medicine"
        seed["hard_cases"] = [case for case in seed["hard_cases"] if case != "not stated"]
    problems = check_coverage(copied)
    assert any("specialty" in problem for problem in problems)
    assert any("not stated" in problem for problem in problems)


def test_duplicate_instruction_is_caught(seeds: list[Seed]) -> None:
    # Mutation: raise ROUGE_LIMIT to 1.01, or compare only neighbouring seeds.
    copied, seed = broken(seeds, "oth_003")
    instruction = next(s for s in copied if s["id"] == "qa_001")["instances"][0]["instruction"]
    seed["instances"][0]["instruction"] = instruction.replace("letter", "option")
    assert any("qa_001" in problem and "oth_003" in problem for problem in check_variety(copied))


def test_bad_lengths_are_caught(seeds: list[Seed]) -> None:
    # Mutation: drop one of the three fields from LENGTHS, or one end of a range.
    for key, text in (
        ("instruction", "Too short to serve"),
        ("instruction", "word " * 91),
        ("input", "word " * 321),
        ("output", ""),
        ("output", "word " * 281),
    ):
        copied, seed = broken(seeds, "qa_004")
        seed["instances"][0][key] = text
        assert any("qa_004" in problem and key in problem for problem in check_lengths(copied))


@pytest.mark.parametrize("key", ["input", "output"])
def test_changed_span_is_caught(seeds: list[Seed], key: str) -> None:
    # Mutation: look for spans in the input only, or in the output only.
    copied, seed = broken(seeds, "qa_014")
    span = seed["checks"][0]["spans"][0]
    seed["instances"][0][key] = seed["instances"][0][key].replace(span, "9 by 7 mm")
    assert any("qa_014" in problem and key in problem for problem in check_spans(copied))


def extraction(output: str) -> list[Seed]:
    """One small extraction with the given output."""
    instance = {
        "instruction": "List drugs in lower case as started or stopped, or not stated.",
        "input": "Stop Atenolol 25 mg.",
        "output": output,
    }
    check: dict[str, list[Any]] = {"spans": [], "computed": [], "knowledge": []}
    return [{"id": "ext_x", "category": "extraction", "instances": [instance], "checks": [check]}]


@pytest.mark.parametrize(
    "output",
    ['stopped: "Atenolol 25 mg"', '{"drug": "atenolol", "status": ["stopped", "not stated"]}', '[{"dose_mg": 25}]'],
)
def test_true_quotation_passes(output: str) -> None:
    # Mutation: demand that labels of the instruction stand in the input too, or forget "lower case".
    assert check_quotations(extraction(output)) == []


@pytest.mark.parametrize(
    "output",
    [
        'stopped: "atenolol 50 mg"',
        'stopped: "atenolol',
        '{"drug": {"name": ["bisoprolol"]}}',
        '{"status": "start"}',
        '{"drug": "teno"}',
        '{"drug": "atenolol"',
    ],
)
def test_false_quotation_is_caught(output: str) -> None:
    # Mutation: do not descend into nested JSON, accept a part of a word, or pass over JSON that does not parse.
    assert check_quotations(extraction(output)) != []


def test_changed_number_is_caught(seeds: list[Seed]) -> None:
    # Mutation: let check_numbers pass any number, or check_computed skip `shown`.
    copied, seed = broken(seeds, "qa_008")
    seed["instances"][0]["output"] = seed["instances"][0]["output"].replace("7.9 mL", "8.7 mL")
    assert any("qa_008" in problem and "8.7" in problem for problem in check_numbers(copied))
    assert any("qa_008" in problem and "7.9 mL" in problem for problem in check_computed(copied))


@pytest.mark.parametrize(
    ("key", "value"), [("value", 640), ("expression", "90 * 14.0 / 3"), ("expression", "open('x')")]
)
def test_changed_computation_is_caught(seeds: list[Seed], key: str, value: Any) -> None:
    # Mutation: trust `value` without evaluating the expression.
    copied, seed = broken(seeds, "qa_008")
    seed["checks"][0]["computed"][1][key] = value
    assert any("qa_008" in problem for problem in check_computed(copied))


def test_misprinted_value_is_caught(seeds: list[Seed]) -> None:
    # Mutation: do not compare the printed figure with `value`.
    copied, seed = broken(seeds, "qa_008")
    instance, item = seed["instances"][0], seed["checks"][0]["computed"][1]
    instance["output"] = instance["output"].replace("630 mg", "635 mg")
    item["shown"] = "635 mg"
    assert any("qa_008" in problem and "635 mg" in problem for problem in check_computed(copied))


def test_stale_knowledge_is_caught(seeds: list[Seed]) -> None:
    # Mutation: do not compare knowledge with the output.
    copied, seed = broken(seeds, "qa_008")
    seed["checks"][0]["knowledge"].append("97")
    assert any("qa_008" in problem and "97" in problem for problem in check_numbers(copied))


@pytest.mark.parametrize(
    "text",
    [
        "\u2019",
        "\u00a0",
        "\x00",
        "\x07",
        " ",
        "\n",
        ". MRN 4411",
        ". Call 555-123-4567",
        ". Tel 020 7946 0958",
        ". DOB 1/2/1960",
        ". a@b.org",
    ],
)
def test_unclean_text_is_caught(seeds: list[Seed], text: str) -> None:
    # Mutation: drop a character of FORBIDDEN, the strip test or a pattern of IDENTIFIERS.
    copied, seed = broken(seeds, "qa_014")
    seed["instances"][0]["input"] += text
    assert any("qa_014" in problem and "input" in problem for problem in check_clean(copied))
