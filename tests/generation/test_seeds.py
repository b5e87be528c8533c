"""Seed tasks of the user: read whole, or refused with their place."""

import json

import pytest

from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.generation.seeds import seeds, seeds_hash
from bioinstruct_jax.resources import resource
from tests.generation.jobs import job


def write(tmp_path, *rows):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return job(seeds=str(file), shown=1)


def test_the_shipped_ones_are_the_default_and_a_folder_of_them_is_the_same():
    found = seeds(job())
    assert len({row.id.split(".")[0] for row in found}) == 80
    assert seeds(job(seeds=str(resource("seeds")))) == [
        row.__class__(**{**{name: getattr(row, name) for name in row.__slots__}, "source": str(resource("seeds"))})
        for row in found
    ]


def test_rows_of_the_alpaca_form_are_seeds_too(tmp_path):
    made = write(tmp_path, {"instruction": "Define fever.", "input": "", "output": "A raised temperature."})
    assert [row.instruction for row in seeds(made)] == ["Define fever."]


def test_a_restricted_seed_is_refused_and_not_shown(tmp_path):
    # Mutation: the check left out.
    row = {"instruction": "Secret words", "output": "Secret answer", "licence": "restricted"}
    with pytest.raises(RestrictedError, match="1 seed tasks are restricted") as error:
        seeds(write(tmp_path, row, {"instruction": "Define fever.", "output": "A raised temperature."}))
    assert "Secret" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"instruction": "x", "output": ""}, {"instruction": "Define it", "output": "y"}],
            "line 1: 'output' is empty",
        ),
        ([{"id": "a", "instruction": "One?", "output": "1"}, {"id": "a", "instruction": "2?", "output": "2"}], "id a"),
    ],
)
def test_bad_seeds_are_named(tmp_path, rows, said):
    with pytest.raises(ValueError, match=said):
        seeds(write(tmp_path, *rows))


def test_too_few_seeds_are_told(tmp_path):
    made = write(tmp_path, {"instruction": "Define fever.", "output": "A raised temperature."})
    with pytest.raises(ValueError, match="has 1 seed tasks and 3 are to be shown"):
        seeds(job(seeds=made.seeds))


def test_the_hash_changes_with_any_text():
    found = seeds(job())
    assert seeds_hash(found) == seeds_hash(list(found))
    assert seeds_hash(found) != seeds_hash(found[:-1])
