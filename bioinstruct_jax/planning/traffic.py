"""An optimized XLA program, read as text: which collectives it runs, how often, and what they send.

XLA's own cost analysis counts the body of a loop once, so the loops are walked here. A collective that XLA has cut into
steps of a chain, to run beside products, stands in the text several times under one channel and counts once.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bioinstruct_jax.training.hlo import COLLECTIVES, Instruction, UnreadableError, called, parse

_ARRAY = re.compile(r"\b(pred|token|[a-z]+\d+[a-z0-9]*)\[([\d,]*)\]")


@dataclass(frozen=True)
class Collective:
    """One exchange between devices.

    Attributes:
        kind: all-gather, all-reduce, ..., or send for what the hosts of a TPU slice carry to another slice.
        devices: that take part in one group of it.
        sent: bytes that each of them sends (and receives), by a ring: a gather of N bytes among n is N (n - 1) / n.
        times: in one run of the program.
        between_slices: a group spans more than one slice.
    """

    kind: str
    devices: int
    sent: float
    times: int
    between_slices: bool


def collectives(text: str, slices: Sequence[int]) -> list[Collective]:
    """Every collective of an optimized program.

    Args:
        text: `compiled.as_text()`.
        slices: of each device in the order of the mesh, which slice it belongs to.

    Raises:
        UnreadableError: a loop whose number of turns, or a collective whose groups, cannot be read.
    """
    computations, entry = parse(text)
    found: list[Collective] = []

    def run(name: str, times: int) -> None:
        seen: set[str] = set()
        for line in _executed(computations, name):
            if line.operation == "while":
                parts = dict(re.findall(r"(condition|body)=%?([\w.\-]+)", line.rest))
                before = len(found)
                run(parts["body"], 1)
                if len(found) > before:  # loops that send nothing need not be understood
                    each = times * turns(line, computations[parts["condition"]], computations[parts["body"]])
                    found[before:] = [replace(one, times=one.times * each) for one in found[before:]]
            elif line.operation == "conditional":
                for branch in called(line):
                    run(branch, times)
            else:
                channel = re.search(r"channel_id=(\d+)", line.rest)
                key = channel[1] if channel else line.name
                if line.operation == "send" and "megascale" in line.rest:  # through the hosts, to the other slices
                    found.append(Collective("send", 2, float(_sizes(line.type)[0]), times, True))
                kind = line.operation.removesuffix("-start")
                if kind in COLLECTIVES and key not in seen:
                    seen.add(key)
                    found.append(_collective(line, kind, times, slices))

    run(entry, 1)
    return [one for one in found if one.sent]


def _executed(computations: dict[str, list[Instruction]], name: str) -> Iterator[Instruction]:
    """The instructions of a computation and of those it runs once as part of it: fusions, calls, async wrappers.

    The sum of a reduce is no such part. An all-reduce that XLA wraps into a computation named ``all-reduce-scatter``
    is the reduce-scatter that it stands for.
    """
    for line in computations[name]:
        yield line
        if line.operation in ("fusion", "call", "async-start", "custom-call"):
            for name_ in called(line):
                for inner in _executed(computations, name_):
                    if "all-reduce-scatter" in name_ and inner.operation == "all-reduce":
                        inner = Instruction(inner.name, inner.type, "reduce-scatter", inner.rest, inner.root)
                        yield Instruction(inner.name, line.type, inner.operation, inner.rest, inner.root)
                        continue
                    yield inner


def turns(loop: Instruction, condition: list[Instruction], body: list[Instruction]) -> int:
    """How often a loop's body runs: as XLA says, else the bound that its counter, from 0, is compared with.

    JAX counts in int32 by 1. XLA's own loops, in which a gather runs beside the product that needs it, count in uint32
    by what the body adds.
    """
    if known := re.search(r'known_trip_count"?:\{"?n"?:"?(\d+)', loop.rest):
        return int(known[1])
    bounds = _constants(condition, "s32[]")
    if len(set(bounds.values())) == 1:
        return next(iter(bounds.values()))
    bounds = _constants(condition, "u32[]")
    for compare in (line for line in condition if line.operation == "compare" and "direction=LT" in line.rest):
        counter, bound = _operands(compare)
        found = next((re.search(r"index=(\d+)", line.rest) for line in condition if line.name == counter), None)
        step = _added(body, int(found[1])) if found else None
        if bound in bounds and step:
            return -(-bounds[bound] // step)
    raise UnreadableError(f"loop {loop.name}: how often it runs is not to be seen in its condition")


def _added(body: list[Instruction], element: int) -> int | None:
    """The constant that a loop's body adds to an element of what it carries; None where that is not to be seen."""
    (root,) = (line for line in body if line.root)
    names = _operands(root) if root.operation == "tuple" else []
    constants = _constants(body, "u32[]")
    for line in body:
        if line.operation == "add" and names[element : element + 1] == [line.name]:
            return next((constants[one] for one in _operands(line) if one in constants), None)
    return None


def _constants(lines: list[Instruction], kind: str) -> dict[str, int]:
    """Whole numbers of a type in a computation, by name."""
    found = ((line, re.match(r"(\d+)\)", line.rest)) for line in lines if line.operation == "constant")
    return {line.name: int(number[1]) for line, number in found if number and line.type.startswith(kind)}


def _operands(line: Instruction) -> list[str]:
    """Names of an instruction's operands, which stand before the first closing bracket."""
    return re.findall(r"%([\w.\-]+)", line.rest.partition(")")[0])


def size(type_: str) -> int:
    """Bytes of an array type or of all arrays of a tuple type, without the padding of tiles."""
    return sum(_sizes(type_))


def _sizes(type_: str) -> list[int]:
    return [
        math.prod(map(int, filter(None, shape.split(",")))) * _bits(kind) // 8 for kind, shape in _ARRAY.findall(type_)
    ]


def _bits(kind: str) -> int:
    number = re.search(r"\d+", kind)
    return 0 if kind == "token" else int(number[0]) if number else 8


def _collective(line: Instruction, kind: str, times: int, slices: Sequence[int]) -> Collective:
    arrays = _sizes(line.type)
    if line.operation.endswith("-start") and kind != "all-reduce":  # (operands, results, more)
        arrays = arrays[len(arrays) // 2 :] if kind != "collective-permute" else arrays[1:2]
    if kind == "collective-permute":
        pairs = [tuple(map(int, pair)) for pair in re.findall(r"\{(\d+),(\d+)\}", line.rest.partition("pairs=")[2])]
        between = any(slices[one] != slices[other] for one, other in pairs)
        return Collective(kind, 2, float(sum(arrays)), times, between)
    members = groups(line.rest, len(slices))
    n = members.shape[1]
    share = {"all-reduce": 2 * (n - 1) / n, "reduce-scatter": float(n - 1)}.get(kind, (n - 1) / n)
    between = any(len({slices[device] for device in group}) > 1 for group in members)
    return Collective(kind, n, sum(arrays) * share, times, between)


def groups(rest: str, devices: int) -> np.ndarray:
    """Devices that exchange with one another, a row each, from any of the ways in which XLA writes them.

    ``{{0,1},{2,3}}``, ``{}`` for all, ``[2,2]<=[4]``, ``[2,2]<=[2,2]T(1,0)`` and ``mesh['a'=2,'b'=2] {'a'}``.
    """
    if found := re.search(r"replica_groups=\{((?:\{[\d,]+\},?)*)\}", rest):
        rows = [[int(one) for one in row.split(",")] for row in re.findall(r"\{([\d,]+)\}", found[1])]
        return np.array(rows or [list(range(devices))])
    if found := re.search(r"replica_groups=\[([\d,]+)\]<=(\[\S*)", rest):
        return _numbered(found[2]).reshape(_numbers(found[1]))
    named = r"replica_groups=mesh\[([^\]]*)\](?:, *device_ids=\(((?:[^()]|\([^()]*\))*)\))? *\{([^}]*)\}"
    if found := re.search(named, rest):
        return _mesh_groups(found[1], found[2], found[3])
    raise UnreadableError(f"replica groups are written in a way not known: {rest[:200]}")


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _numbered(text: str) -> np.ndarray:
    """The numbers from 0 in the order that ``[4,2]T(1,0)`` says: laid out as 4 x 2 and transposed."""
    sizes, axes = re.match(r"\[([\d,]+)\]", text), re.search(r"T\(([\d,]+)\)", text)
    if not sizes:
        raise UnreadableError(f"devices are numbered in a way not known: {text[:200]}")
    array = np.arange(math.prod(_numbers(sizes[1]))).reshape(_numbers(sizes[1]))
    return array.transpose(_numbers(axes[1])) if axes else array


def _mesh_groups(axes: str, ids: str | None, named: str) -> np.ndarray:
    """Rows of devices along the `named` axes; ``'a':(2)4`` is the part of size 4 of an axis after one of size 2."""
    sizes = [(name, int(size_)) for name, size_ in re.findall(r"'([^']+)'=(\d+)", axes)]
    if ids is None:
        order = np.arange(math.prod(size_ for _, size_ in sizes))
    else:
        order = _numbered(ids) if ids.startswith("[") else np.array(_numbers(ids))
    parts = re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", named)
    shape: list[int] = []
    chosen: list[int] = []
    for name, whole in sizes:
        cuts = sorted((int(before), int(part)) for other, before, part in parts if other == name and part)
        if not cuts:
            if any(other == name for other, *_ in parts):
                chosen.append(len(shape))
            shape.append(whole)
            continue
        done = 1
        for before, part in cuts:
            if before > done:
                shape.append(before // done)
            chosen.append(len(shape))
            shape.append(part)
            done = before * part
        shape.append(whole // done)
    array = order.reshape(shape)
    moved = np.moveaxis(array, chosen, range(array.ndim - len(chosen), array.ndim))
    return moved.reshape(-1, math.prod(shape[i] for i in chosen))
