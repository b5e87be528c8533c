"""`report.html` of a training run: what was trained on what, how the loss fell, what was left out."""

import json

from bioinstruct_jax.reporting import page
from bioinstruct_jax.run_folder import RunFolder


def write(folder: RunFolder) -> None:
    """Made from the files of the run folder alone, so that it can be made again."""
    data = json.loads((folder.path / "data.json").read_text(encoding="utf-8"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    settings = (folder.path / "config.yaml").read_text(encoding="utf-8")
    sections = [
        page.section("Loss", *_loss(folder)),
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
