import pytest

from bioinstruct_jax.preparation import card


@pytest.mark.parametrize(
    ("out", "name"),
    [("prepared/medtuned", "medtuned"), ("gs://bucket/My Rows-2/", "my_rows_2"), ("2024", "rows_2024"), ("ä", "rows_")],
)
def test_a_folder_gives_a_name_that_loaders_take(out, name):
    # Mutation: the name as it stands, which no loader would take.
    assert card.name(out) == name
