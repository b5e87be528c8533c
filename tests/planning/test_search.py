"""The search, on a slice whose memory is a formula."""

from dataclasses import replace

import pytest

from bioinstruct_jax.config import Mesh, Train, Training
from bioinstruct_jax.planning import search, slices
from bioinstruct_jax.planning.row import Row, options
from tests.small import SHAPE, job

V5E = slices.find("v5e-8")


def trial(job_: Train, slice_=V5E, *, fixed: float = 4, each: dict[str, float] | float = 1, **more) -> Row:
    """A row whose peak is fixed + rows x each (GiB, of 16); twice the rows are 1 % faster a token."""
    training, remat = job_.training, job_.model.remat
    rows = training.batch_rows / training.micro_batches / slice_.chips
    peak = int((fixed + rows * (each[remat] if isinstance(each, dict) else each)) * 2**30)
    fits = peak <= 16 * 2**30
    return Row(
        slice=slice_.name,
        chips=slice_.chips,
        outcome="fits" if fits else "out of memory",
        by="compiler",
        remat=remat,
        length=8,
        batch_rows=training.batch_rows,
        micro_batches=training.micro_batches,
        rows=rows,
        limit=16 * 2**30,
        peak=peak,
        tokens_per_second={"none": 1.4, "attention": 1.1}.get(remat, 1) * slice_.chips * (1 + rows / 100)
        if fits
        else None,
        **more,
    )


@pytest.mark.parametrize(
    ("fixed", "each", "largest"), [(4, 1, 12), (4, 5, 2), (4, 11.5, 1), (1, 0.13, 115), (15, 2, 0)]
)
def test_the_largest_batch_is_found_and_no_larger_one_fits(fixed, each, largest):
    # Mutations: the end of the search at the first that fits; `high` not lowered.
    tried = list(search.largest(job(), SHAPE, V5E, lambda this: trial(this, fixed=fixed, each=each)))
    for remat in ("none", "full"):
        of = [row for row in tried if row.remat == remat]
        assert max((row.rows for row in of if row.outcome == "fits"), default=0) == largest
        assert min(row.rows for row in of if row.outcome != "fits") == largest + 1
        assert len(of) <= 10
        assert len({row.rows for row in of}) == len(of)  # nothing is compiled twice


def test_the_cheapest_rematerialisation_comes_first_and_the_fastest_wins():
    tried = list(
        search.largest(
            job(), SHAPE, V5E, lambda this: trial(this, each={"none": 6, "attention": 5, "full": 4, "offload": 4})
        )
    )
    assert list(dict.fromkeys(row.remat for row in tried)) == ["none", "attention", "full", "offload"]
    best = search.best(tried)
    assert (best.remat, best.rows) == ("none", 2)
    assert search.best([]) is None


def test_what_cannot_be_divided_ends_the_search():
    def impossible(this: Train) -> Row:
        return replace(trial(this), outcome="impossible", reason="dimension K of size 2")

    assert len(list(search.largest(job(), SHAPE, V5E, impossible))) == 4  # once for each rematerialisation


@pytest.mark.parametrize(
    ("name", "rows", "parts", "expected"),
    [
        ("v5e-8", 32, 2, (32, 2)),  # 16 rows at once: as asked
        ("v5e-32", 32, 2, (32, 1)),  # 16 cannot be divided by 32: all at once
        ("v5e-64", 32, 2, (64, 1)),  # more chips than rows
        ("v5e-8", 12, 2, (16, 2)),  # 6 rows at once become 8
        ("h100-1", 32, 2, (32, 2)),
        ("tpu7x-4", 32, 4, (32, 4)),  # eight devices
    ],
)
def test_the_least_change_that_a_slice_needs(name, rows, parts, expected):
    this = job(training=Training(steps=10, batch_rows=rows, micro_batches=parts))
    training = search.for_slice(this, slices.find(name)).training
    assert (training.batch_rows, training.micro_batches) == expected


def test_several_slices_run_data_between_them():
    found = search.for_slice(job(training=Training(steps=10, batch_rows=32)), slices.find("2xv5e-16"))
    assert found.mesh == Mesh(data=2)
    kept = search.for_slice(job(mesh=Mesh(data=4)), slices.find("2xv5e-16"))
    assert kept.mesh.data == 4
    assert search.shares(job(mesh=Mesh(tensor=4)), V5E) == 2


def test_a_slice_gets_fewer_rows_at_once_until_they_fit():
    this = job(training=Training(steps=10, batch_rows=128))
    row = search.recommend(this, V5E, lambda one: trial(one, each=3))
    assert (row.outcome, row.rows, row.batch_rows, row.micro_batches) == ("fits", 4, 128, 4)
    assert search.recommend(this, V5E, lambda one: trial(one, fixed=20)).rows == 1


def test_three_slices_are_recommended():
    rows = [
        trial(job(), slices.find(name), fixed=fixed) for name, fixed in (("v5e-4", 20), ("v5e-8", 4), ("v5e-16", 3))
    ]
    found = {name: row.slice for name, row in search.recommended(rows).items()}
    assert found == {"fewest chips": "v5e-8", "most tokens a chip": "v5e-8", "fastest": "v5e-16"}
    assert search.recommended(rows[:1]) == {}


def test_changes_are_told_as_options():
    changed = replace(job(), training=Training(steps=20, batch_rows=16, micro_batches=4), mesh=Mesh(data=2))
    assert options(job(), changed) == ("--training.micro_batches=4", "--mesh.data=2")
