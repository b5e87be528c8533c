"""``report.html`` of a study: which instructions help which tasks, how sure that is, and what it was made of."""

from collections.abc import Iterator, Sequence

from bioinstruct_jax.evaluation.effects import ENOUGH
from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.reporting import page
from bioinstruct_jax.studies.found import Found
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.studies.results import charts, others, printed, sources, tables, verdicts, views
from bioinstruct_jax.studies.results.printed import Table
from bioinstruct_jax.studies.results.verdicts import sized
from bioinstruct_jax.studies.results.views import Curve

_GUIDE = (
    "Base is the model as it was; tuned models saw the rows of one arm. Arms of natural size have all their rows, so a "
    "larger arm may be better only because it is larger. Matched arms have as many rows, and as many target tokens, as "
    "one another: what differs between them is what the rows are about.",
    "Each arm was trained several times, with several seeds; a score is their mean. An interval says how much it would "
    "differ with other seeds and other documents of the same kind: seeds are drawn again, then documents, thousands of "
    "times, and about 95 of 100 such scores lie in it. How seeds differ is known from few of them, which makes it "
    "wide: as with Student's t, of one degree of freedom fewer than there are seeds.",
    "Primary hypotheses were declared before anything was run, and their p are adjusted together (Holm): "
    "all that were declared, in every model; one that could not be tested counts as p = 1. Everything else is "
    "exploratory: of twenty such comparisons one has p < 0.05 by luck alone.",
    "A difference that is not shown is not a difference that is not there.",
    "Read, or extraction rate, is the share of items from whose text an answer could be read; all others count as "
    "wrong. Where it differs between base and tuned, part of the difference is form rather than knowledge.",
)


def pieces(found: Found, job: Study) -> Iterator[str]:
    """The page in pieces; `job` gives the declared hypotheses and models."""
    return page.pieces(found.title, _sections(found, job))


def headlines(found: Found, job: Study) -> list[str]:
    """A sentence for each primary hypothesis, in each model; those that were not answered at the end."""
    higher = verdicts.higher_is_better(found)
    said = [verdicts.sentence(one, higher[one.on, one.protocol, one.metric]) for one in found.contrasts if one.primary]
    return [*said, *verdicts.unanswered(found, job)] or ["No primary hypothesis was declared."]


def notes(found: Found) -> list[str]:
    """What a reader must know first; at the end scores of answers of which most could not be read."""
    written = [one for one in found.scores if one.protocol == "generated" and one.on != one.group]
    low = sorted((one for one in written if one.answered < ENOUGH), key=lambda one: one.answered)
    if not low:
        return list(found.notes)
    worst = ", ".join(
        f"{one.model}{', ' if one.arm else ''}{sized(one.arm, one.size)} in {one.on} {one.answered:.1%}"
        for one in low[:3]
    )
    said = (
        f"In {len(low)} of {len(written)} scores of written answers most answers could not be read and count as wrong"
    )
    return [*found.notes, f"{said}; the lowest extraction rates: {worst}. Part of these differences is form."]


def _headed(tables: Sequence[Table]) -> list[str]:
    """Tables of which the first has the heading of its section."""
    return [printed.html(one, heading=place > 0) for place, one in enumerate(tables)]


def _sections(found: Found, job: Study) -> Iterator[str]:
    yield from map(page.note, notes(found))
    first, *more = headlines(found, job)
    yield page.lead(first)
    if len(more) <= 5:
        yield from map(page.paragraph, more)
    else:
        yield page.folded(f"{len(more)} more hypotheses", *map(page.paragraph, more))
    yield page.folded("How to read this page", *map(page.paragraph, _GUIDE))
    yield page.section("Primary hypotheses", printed.html(tables.primary(found, job), heading=False))
    yield page.section("Base against tuned", *_compared(found))
    if heats := views.heats(found):
        matrices = [page.paragraph(charts.LEGEND), *map(charts.heat, heats)]
        yield page.section("Which instructions help which tasks", *matrices)
    if curves := views.curves(found):
        yield page.section("How much data is needed", *_curves(curves))
    made = [one for one in (sources.composition(found), sources.removed(found)) if one.rows]
    if made:
        yield page.section("Rows of each arm", *map(printed.html, made))
    if comparators := others.comparators(found):
        yield page.section("Models of others, measured here", *_headed(comparators))
    yield page.section(others.THEIRS, *_headed(others.reported(found)), *_published(found))
    every = tables.scores(found)
    yield page.section(every.title, page.folded("Every model, arm, task and group", printed.html(every, heading=False)))
    yield page.section("Cells", printed.html(sources.cells(found), heading=False))
    yield page.section("Settings", page.folded("As they were given", page.code(found.settings)))


def _compared(found: Found) -> Iterator[str]:
    """The largest arm open, every other one folded, behind a chart of the groups."""
    yield page.paragraph(tables.COMPARED)
    made = tables.compared(found)
    for model, protocol in dict.fromkeys((one.model, one.protocol) for one in made):
        yield f"<h3>{page.escape(f'{model}, {words.of_protocol(protocol)}')}</h3>"
        yield from charts.groups(found, model, protocol)
        for place, one in enumerate(one for one in made if (one.model, one.protocol) == (model, protocol)):
            if place:
                title = f"{sized(one.arm, one.size) or model} against {sized(one.against, one.size)}: {one.told}"
                yield page.folded(title, printed.html(one.table, heading=False))
            else:
                yield printed.html(one.table)
    if not made:
        yield page.paragraph("Nothing was compared: that needs the base and a tuned model, scored on the same items.")


def _curves(curves: Sequence[Curve]) -> Iterator[str]:
    for key in dict.fromkeys((one.model, one.protocol, one.arm) for one in curves):
        yield from charts.curves([one for one in curves if (one.model, one.protocol, one.arm) == key])
    yield page.folded("The same in numbers", *map(printed.html, tables.curve(curves)))


def _published(found: Found) -> list[str]:
    return [page.folded("What the corpora's own pages and papers give", *others.published(found))]
