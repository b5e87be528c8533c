"""Rows kept apart for the held-out loss, so that neither a prompt nor an answer stands on both sides."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from bioinstruct_jax.data.records import Record


def held_out_split(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Splits into (train, held out), each in the order given; the same rows in any order give the same two sets.

    Rows that share a prompt (instruction and input) or an output, but for case and white space, form a group, and so
    do the groups that such a row joins. Whole groups are held out in an order hashed from the seed and their content,
    those that would overshoot are passed over, and train keeps at least one group. Where every group is larger than
    the share, the smallest is held out. A share below half a row holds nothing out.
    Raises ValueError for a share outside [0, 0.5] and where all rows form one group.
    """
    if not 0 <= share <= 0.5:
        raise ValueError(f"held_out {share} is no share of rows; use a number from 0 to 0.5, e.g. 0.05")
    due = int(share * len(records) + 0.5)
    if not due:
        return list(records), []
    groups = _groups(records)
    if len(groups) < 2:
        raise ValueError(
            f"held_out {share} asks for {due} of {len(records)} rows, but all of them are joined by equal prompts or "
            "equal outputs and cannot be split; set held_out to 0 or add rows"
        )
    order = sorted((_hashed(seed, content), rows) for content, rows in groups.items())
    held: set[int] = set()
    left: list[list[int]] = []
    for _, rows in order:
        if len(held) + len(rows) <= due:
            held.update(rows)
        else:
            left.append(rows)
    if left:  # one more group may bring the count nearer; with a share up to half it never takes the last
        nearest = min(left, key=lambda rows: abs(len(held) + len(rows) - due))
        if not held or abs(len(held) + len(nearest) - due) < due - len(held):
            held.update(nearest)
    train = [record for place, record in enumerate(records) if place not in held]
    return train, [record for place, record in enumerate(records) if place in held]


def _groups(records: Sequence[Record]) -> dict[str, list[int]]:
    """Places of the records of each group, under the smallest key of the group."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    keys = []
    for record in records:
        output = f"output\n{_normal(record.output)}"
        prompt = f"prompt\n{_normal(record.instruction)}\n{_normal(record.input)}" if record.instruction else output
        low, high = sorted((root(parent.setdefault(prompt, prompt)), root(parent.setdefault(output, output))))
        parent[high] = low  # the smallest key of a group is its root, whatever the order of the rows
        keys.append(prompt)
    groups = defaultdict(list)
    for place, key in enumerate(keys):
        groups[root(key)].append(place)
    return groups


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def _hashed(seed: int, content: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{content}".encode(), digest_size=16).digest()
