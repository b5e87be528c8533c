"""Which solved items are shown before the one that is asked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.evaluation.choice_prompts import gold
from bioinstruct_jax.tasks.task import Item, Task


@dataclass(frozen=True)
class Pool:
    """Items that may be shown, in the order of their file; make it with `pool`.

    Attributes:
        by_label: places in `items`, for each label that some item has; empty where an answer is not one label of few.
    """

    task: Task[Any, Any]
    items: tuple[Item, ...]
    by_label: dict[str, tuple[int, ...]]


def pool(task: Task[Any, Any], items: Sequence[Item]) -> Pool:
    """The items of a split as shots for others, of the same split or of another."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items if _one_label(task, items) else ()):
        places.setdefault(task.labels[gold(task, item)], []).append(place)
    found = {label: tuple(places[label]) for label in task.labels if label in places}
    return Pool(task, tuple(items), found)


def draw(pool: Pool, item: Item, count: int, *, seed: int = 0, balanced: bool = False) -> list[Item]:
    """Different items to show before `item`: a pure function of seed, pool and item.

    Never among them is the item itself, nor one of its text under another id; no text comes twice. Where the task says
    `ordered`, they are the pool's first, as the publisher meant them, and seed and item do not matter.

    Args:
        balanced: each label as often as any other, or once more, in an order that is drawn too.

    Raises:
        ValueError: the pool has too few, or no labels to balance.
    """
    if balanced and count and pool.items and not pool.by_label:
        raise ValueError(f"{pool.task.name}: its answers are not one label of few, so shots cannot be balanced by them")
    if count < 0:
        raise ValueError(f"{count} shots: needs 0 or more")
    text = pool.task.family.text
    used = {text(item)}
    of_label = {label: _order(len(places), seed, item.id, label) for label, places in pool.by_label.items()}
    labels = sorted(pool.by_label, key=lambda label: _hash(seed, item.id, "label", label))
    ordered = pool.task.likelihood is not None and pool.task.likelihood.ordered
    every = iter(range(len(pool.items))) if ordered else _order(len(pool.items), seed, item.id)
    shots: list[Item] = []
    while len(shots) < count:
        label = labels[len(shots) % len(labels)] if balanced and labels else ""
        if balanced and label:
            place = next((pool.by_label[label][one] for one in of_label[label]), None)
        else:
            place = next(every, None)
        if place is None:
            of = f" with the answer {label!r}" if label else ""
            raise ValueError(
                f"{pool.task.name}, item {item.id!r}: {count} shots{', balanced,' if balanced else ''} are wanted, but "
                f"the pool of {len(pool.items)} has no other item{of} after {len(shots)} of them"
            )
        shot = pool.items[place]
        if shot.id != item.id and text(shot) not in used:
            used.add(text(shot))
            shots.append(shot)
    if balanced:
        shots.sort(key=lambda shot: _hash(seed, item.id, "place", shot.id))
    return shots


def _one_label(task: Task[Any, Any], items: Sequence[Item]) -> bool:
    return bool(task.labels) and all(isinstance(task.family.gold(item), str) for item in items[:1])


def _order(count: int, *words: object) -> Iterator[int]:
    """The numbers below `count` in an order drawn by hash, the same on every machine; takes only what is asked of it.

    Fisher and Yates' shuffle, of which only what was moved is kept.
    """
    moved: dict[int, int] = {}
    for place in range(count):
        other = place + _hash(*words, place) % (count - place)
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


def _hash(*words: object) -> int:
    """0 to 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=8).digest(), "big")
