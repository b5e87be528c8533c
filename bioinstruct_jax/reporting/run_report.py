"""`report.html` of a training run: what was trained on what, how the loss fell, what was left out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bioinstruct_jax.reporting import page, svg
from bioinstruct_jax.run_folder import RunFolder
from bioinstruct_jax.training.metrics import read_rows


def write(folder: RunFolder) -> None:
    """Made from the files of the run folder alone, so that it can be made again."""
    data = json.loads((folder.path / "data.json").read_text(encoding="utf-8"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    settings = (folder.path / "config.yaml").read_text(encoding="utf-8")
    rows = read_rows(folder.path / "metrics.jsonl")
    sections = [
        page.section("Loss", *_loss(folder)),
        *scores(rows),
        page.section("Data", *_data(data)),
        page.section("Settings", page.code(settings)),
        page.section("Environment", page.table(["package", "version"], map(list, environment["packages"].items()))),
    ]
    text = page.page(f"Training run {folder.path.name}", sections)
    (folder.path / "report.html").write_text(text, encoding="utf-8")


def _loss(folder: RunFolder) -> list[str]:
    losses = folder.losses()
    rows: list[list[object]] = [["training, one step", f"{losses.first:.4f}", f"{losses.last:.4f}"]]
    described = f"Loss by step: training from {losses.first:.2f} to {losses.last:.2f}"
    if losses.held_out_first is not None and losses.held_out_last is not None:
        rows.append(["held-out rows", f"{losses.held_out_first:.4f}", f"{losses.held_out_last:.4f}"])
        described += f", held-out from {losses.held_out_first:.2f} to {losses.held_out_last:.2f}"
    return [
        page.paragraph(f"{losses.steps:,} optimizer steps. Mean cross-entropy in nats for each target token."),
        page.table(["rows", "before", "after"], rows),
        page.image(folder.path / "loss.png", described),
    ]


def scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The section on tasks that were scored on the way, made from the rows of the metrics; none without such."""
    scored = [row for row in rows if any(name.endswith("/items") for name in row)]
    if not scored:
        return []
    parts = [
        page.paragraph(
            "Scores of the model after so many steps, with 95 % bootstrap intervals; step 0 is before training. The "
            "same items are asked each time, so scores differ less by chance than their intervals overlap."
        )
    ]
    last = scored[-1]
    for task in [name.removesuffix("/items") for name in last if name.endswith("/items")]:
        metrics = [name for name in last if name.startswith(f"{task}/") and f"{name}_low" in last]
        parts += [_curve(metrics[0], scored)] if _drawn(metrics[0], scored) else []
        table = [[row["step"], *(_estimate(row, name) for name in metrics)] for row in scored]
        parts.append(page.table(["step", *metrics], table))
        unfit = last[f"{task}/unfit"]
        longer = f"; {unfit:,} of them are longer than the context and count as wrong" if unfit else ""
        parts.append(page.paragraph(f"{task}: {last[f'{task}/items']:,} items{longer}."))
    return [page.section("Scores while training", *parts)]


def _drawn(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a score has everywhere an interval that axes from 0 can show."""
    return all(row[f"{name}_low"] is not None and float(row[f"{name}_low"]) >= 0 for row in rows)


def _curve(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    points = [(row["step"], row[name], (row[f"{name}_low"], row[f"{name}_high"])) for row in rows]
    told = f"{name} by step, from {points[0][1]:.3f} to {points[-1][1]:.3f}"
    return svg.figure(f"{told}, with 95 % intervals.", svg.curve(told, points, across="step", up=name))


def _estimate(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return "unknown"
    return f"{value:.3f}" + ("" if low is None or high is None else f" ({low:.3f} to {high:.3f})")


def _data(data: dict) -> list[str]:
    sources = [
        [source["path"], source["format"], source["read"], source["bad"], source["kept"]] for source in data["sources"]
    ]
    parts = [page.table(["source", "format", "rows read", "bad rows", "records kept"], sources)]
    parts += [page.paragraph(line) for line in data_lines(data)]
    if data["bad_rows"]["count"]:
        reasons = [[reason, count] for reason, count in data["bad_rows"]["reasons"].items()]
        parts.append(page.table(["bad rows (bad_rows.jsonl)", "count"], reasons))
    return parts


def data_lines(data: dict) -> list[str]:
    """What `data.json` says of the rows, a line each: how many, how full, and what was left out and why."""
    lines = []
    for name, built in (("training", data["train"]), ("held out", data["held_out"])):
        if built:
            packing = built["packing"]
            lines.append(
                f"{name}: {built['examples']:,} examples in {packing['rows']:,} rows of {packing['length']:,}; "
                f"{packing['tokens']:,} tokens in {packing['slots']:,} slots ({packing['efficiency']:.1%}), "
                f"{packing['target_tokens']:,} of them targets"
            )
            lines += [f"{name}: left out {kind['count']:,}: {reason}" for reason, kind in built["dropped"].items()]
            if built["truncated"]["count"]:
                lines.append(f"{name}: input shortened to fit in {built['truncated']['count']:,}")
    if restricted := sum(source["restricted"] for source in data["sources"]):
        lines.append(
            f"{restricted:,} records are restricted: their text is shown nowhere; ask before you share the model"
        )
    if data["bad_rows"]["count"]:
        lines.append(f"{data['bad_rows']['count']:,} bad rows were left out; see bad_rows.jsonl")
    return lines
