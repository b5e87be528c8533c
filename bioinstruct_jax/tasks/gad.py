"""GAD: is a gene said to be associated with a disease? Sentences with both masked, as BioBERT's release has them."""

from collections.abc import Iterator

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.relations import RELATIONS, Pair
from bioinstruct_jax.tasks.task import Licence, Split, Task

GENE, DISEASE = "@GENE$", "@DISEASE$"
LABELS = ("associated", "not associated")
ASSOCIATED = {"1": "associated", "0": "not associated"}  # 1 = associated: the other way round turns every score over


def read(folder: UPath, split: Split) -> Iterator[Pair]:
    """Sentences of a fold, in three tab-separated columns with a header."""
    for name in split.files:
        for row in reading.tab_rows(folder / name, ("index", "sentence", "label"), header=True):
            sentence, label = row.text("sentence"), ASSOCIATED[row.one_of("label", tuple(ASSOCIATED))]
            for mask in (GENE, DISEASE):
                if sentence.count(mask) != 1:
                    row.fail(f"{mask} stands {sentence.count(mask)} times in the sentence, not once")
            yield Pair(f"{split.name}:{row.line}", sentence, GENE, DISEASE, label)


TASKS = (
    Task(
        name="gad",
        title="GAD gene-disease associations, fold 0",
        family=RELATIONS,
        folder="gad",
        splits=(Split("train", ("train.tsv",), 4796), Split("test", ("test.tsv",), 534)),
        read=read,
        licence=Licence("attribution", "CC BY 4.0", "the release of BioBERT's relation data (dmis-lab/biobert), GAD"),
        subject="the masked gene and the masked disease",
        labels=LABELS,
        meanings=("the sentence is evidence of an association", "it is not"),
        negative="not associated",
        tried=True,
        note="Labels are weak: they were made semi-automatically from a database, and many are wrong. 1 is associated. "
        "The ten folds of the release have no development part; this is fold 0.",
    ),
)
