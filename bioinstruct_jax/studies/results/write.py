"""Everything that a study leaves for its readers.

<out>/  study.json  report.html  tables.md  tables.tex  figures/*.png|svg
"""

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.results.tables import markdown_text
from bioinstruct_jax.studies.found import Found
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.studies.results import figures, others, printed, record, report, sources, tables, views
from bioinstruct_jax.studies.results.printed import Table

RECORD, REPORT, MARKDOWN, LATEX, FIGURES = "study.json", "report.html", "tables.md", "tables.tex", "figures"


def write(job: Study, found: Found) -> str:
    """Writes all files into the study's folder, over those of an earlier time; returns the lines for the terminal.

    Raises:
        OSError: the folder cannot be written.
    """
    out = files.path(job.out)
    drawn = dict(figures.figures(found))
    folder = out / FIGURES
    files.make_folder(folder)
    for old in folder.iterdir():
        if old.suffix in (".png", ".svg") and old.name not in drawn:
            old.unlink()
    for name, data in drawn.items():
        (folder / name).write_bytes(data)
    files.write_text(out / RECORD, record.text(found))
    files.write_text(out / MARKDOWN, markdown(found, job))
    files.write_text(out / LATEX, latex(found, job))
    files.write_text(out / REPORT, "".join(report.pieces(found, job)))
    return "\n".join([*report.notes(found), *report.headlines(found, job), f"report: {out / REPORT}"])


def markdown(found: Found, job: Study) -> str:
    """All tables as Markdown, behind what a reader must know first."""
    first = "".join(f"> {markdown_text(one)}\n\n" for one in report.notes(found))
    parts = [*_tables(found, job), sources.cells(found), tables.scores(found)]
    body = "\n".join(printed.markdown(one, 2) for one in parts if one.rows)
    return f"# {markdown_text(found.title)}\n\n{first}{body}"


def latex(found: Found, job: Study) -> str:
    """The tables of a paper, to be put into a document that has the package booktabs."""
    return "% needs \\usepackage{booktabs}\n" + printed.latex([one for one in _tables(found, job) if one.rows])


def _tables(found: Found, job: Study) -> list[Table]:
    curves = views.curves(found)
    return [
        tables.primary(found, job),
        *(one.table for one in tables.compared(found)),
        *(table for heat in views.heats(found) for table in tables.matrix(heat)),
        *tables.curve(curves),
        sources.composition(found),
        sources.removed(found),
        *others.comparators(found),
        *others.reported(found),
    ]
