"""A window of steps recorded to a trace, and a table of where their time went.

The trace is XLA's own, for TensorBoard, Perfetto or XProf. The table joins its events with the compiled program: each
instruction says in its metadata under which `jax.named_scope` it was traced.
"""

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.training.hlo import COLLECTIVES, Instruction, called, parse

KINDS = ("attention", "loss", "optimizer", "products", "collectives", "other")
_PRODUCTS = ("dot", "convolution", "ragged-dot")
_CONTAINERS = ("while", "call", "conditional", "async-start", "async-done")  # their instructions have their own events


class Event(NamedTuple):
    """One instruction run on one device."""

    device: str
    instruction: str
    start_ns: float
    duration_ns: float


def kinds(program: str) -> dict[str, str]:
    """Kind, one of KINDS, of each instruction of a compiled program, given its HLO text; containers are left out.

    A collective is one wherever it stands; what was traced under the scope ``attention``, ``loss`` or ``optimizer``
    belongs there; other matrix products, alone or in a fusion, are ``products``.
    """
    computations, _ = parse(program)
    inner = {name: {line.operation for line in lines} for name, lines in computations.items()}
    return {
        line.name: _kind(line, set().union(*(inner.get(name, set()) for name in called(line))))
        for lines in computations.values()
        for line in lines
        if line.operation not in _CONTAINERS
    }


def _kind(line: Instruction, inner: set[str]) -> str:
    """Kind of one instruction, whose fusion holds the operations `inner`."""
    if any(operation.startswith(COLLECTIVES) for operation in {line.operation} | inner):
        return "collectives"
    scope = re.search(r'op_name="([^"]*)"', line.rest)
    names = set(re.findall(r"\w+", scope[1] if scope else ""))  # of a gradient it reads transpose(jvp(attention))
    for kind in ("attention", "loss", "optimizer"):
        if kind in names:
            return kind
    product = line.operation in _PRODUCTS or inner & set(_PRODUCTS)
    return "products" if product or (line.operation == "custom-call" and "dot_general" in names) else "other"


def events(trace: Path, module: str) -> list[Event]:
    """What the newest trace below a folder says of compiled instructions, of one program where it names programs.

    Raises:
        ValueError: there is no trace.
    """
    files_ = sorted(trace.rglob("*.xplane.pb"), key=lambda file: file.stat().st_mtime)
    if not files_:
        raise ValueError(f"{trace} holds no trace (*.xplane.pb)")
    found = []
    for plane in jax.profiler.ProfileData.from_file(str(files_[-1])).planes:
        for line in plane.lines:
            for event in line.events:
                stats: dict[str, Any] = dict(event.stats)
                name = stats.get("hlo_op") or (event.name if line.name == "XLA Ops" else None)
                if name and stats.get("hlo_module", module) == module:
                    device = f"{plane.name} {stats.get('device_ordinal', '')}"
                    instruction = str(name).split(" = ")[0].lstrip("%")
                    found.append(Event(device, instruction, event.start_ns, event.duration_ns))
    return found


def table(seen: Iterable[Event], kind_of: dict[str, str], steps: int, seconds: float) -> dict[str, float]:
    """Seconds a step on each device, in the mean over devices, by kind; ``host`` is when a device had nothing to do.

    Args:
        seen: events of the window.
        kind_of: of each instruction, from `kinds`; events of other instructions are not counted.
        steps, seconds: how many the window holds, and how long it took.

    Kinds are sums of what instructions took; where a device runs some side by side, they add up to more than the time.
    """
    spent = dict.fromkeys(KINDS, 0.0)
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for event in seen:
        if event.instruction in kind_of:
            spent[kind_of[event.instruction]] += event.duration_ns
            spans[event.device].append((event.start_ns, event.start_ns + event.duration_ns))
    devices = max(len(spans), 1)
    busy = sum(_covered(of_one) for of_one in spans.values())
    made = {kind: total / 1e9 / devices / steps for kind, total in spent.items()}
    return made | {"host": max(seconds - busy / 1e9 / devices, 0.0) / steps, "step": seconds / steps}


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return total


class Window:
    """Records some steps of a run; a context manager that is told of each step before it is begun.

    Args:
        folder: gets the trace and ``table.json``; on a disk or in a bucket.
        program: the compiled train step.
        after, steps: leave out so many steps of this process, then record so many; 0 steps record nothing.
    """

    def __init__(self, folder: UPath, program: jax.stages.Compiled, after: int, steps: int):
        self.folder, self.program, self.after, self.steps = folder, program, after, steps
        self._seen, self._began = 0, 0.0
        self._place: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *_: object) -> None:
        if self._place:
            jax.profiler.stop_trace()
            self._place.cleanup()

    def before_step(self, state: Any) -> dict[str, float] | None:
        """Begin the window if it is time, after all that `state` waits for; end it, and return its table, if it is."""
        made = None
        if self.steps and self._seen == self.after:
            jax.block_until_ready(state)
            self._place = tempfile.TemporaryDirectory()
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # each Python call would be an event, and slow
            jax.profiler.start_trace(self._place.name, profiler_options=options)
            self._began = time.perf_counter()
        elif self._seen == self.after + self.steps:
            made = self.end(state)
        self._seen += 1
        return made

    def end(self, state: Any) -> dict[str, float] | None:
        """End the window, if it is open: write trace and table, and return the table."""
        if not self._place:
            return None
        jax.block_until_ready(state)
        seconds = time.perf_counter() - self._began
        jax.profiler.stop_trace()
        with self._place as name:
            self._place = None
            trace = Path(name)
            steps = self._seen - self.after
            text = self.program.as_text() or ""
            made = table(events(trace, _module(text)), kinds(text), steps, seconds)
            for file in filter(Path.is_file, trace.rglob("*")):
                place = self.folder / file.relative_to(trace).as_posix()
                files.make_folder(place.parent)
                place.write_bytes(file.read_bytes())
        files.write_text(self.folder / "table.json", json.dumps({"steps": steps, "seconds": made}, indent=1) + "\n")
        return made


def _module(text: str) -> str:
    """Name of a compiled program, which its events carry."""
    found = re.match(r"HloModule ([\w.\-]+)", text)
    return found[1] if found else ""


def sentence(made: dict[str, float]) -> str:
    """A table as one line for a reader."""
    shares = ", ".join(f"{kind} {made[kind] / made['step']:.0%}" for kind in (*KINDS, "host"))
    return f"a step took {made['step'] * 1e3:,.1f} ms: {shares}"
