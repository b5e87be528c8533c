"""The corpora of the entities family, each described once.

Most are read as Llama2-MedTuned had them, sentence by sentence, from the copies in two columns. Those called
``_abstracts`` and ``_types``, and the clinical notes, are read from the files of the corpus's own publisher.
"""

from collections.abc import Callable, Iterator, Mapping

from upath import UPath

from bioinstruct_jax.tasks import bioc, columns, i2b2, pubtator, standoff
from bioinstruct_jax.tasks.entities import ENTITIES, Gold
from bioinstruct_jax.tasks.spans import Entities, ordered
from bioinstruct_jax.tasks.task import CorpusError, Figure, Licence, Split, Task

Reader = Callable[[UPath, Split], Iterator[Entities]]

MEDTUNED = "Rohanian et al., Artif Intell Med 158:103007, 2024"
MTL = "github.com/cambridgeltl/MTL-Bioinformatics-2016"
CC_BY = "CC BY 4.0"

PUBLIC_NCBI = Licence(
    "open",
    "US government work",
    "in two columns from github.com/spyysalo/ncbi-disease (conll/), as PubTator from "
    "www.ncbi.nlm.nih.gov/CBBresearch/Dogan/DISEASE; free to use, cite Dogan et al. 2014",
)
PUBLIC_CDR = Licence(
    "attribution",
    CC_BY,
    f"in two columns from {MTL} (data/BC5CDR-disease-IOB, data/BC5CDR-chem-IOB), as PubTator from "
    "biocreative.bioinformatics.udel.edu, BioCreative V track 3; cite Li et al. 2016",
)
CHEMDNER = Licence(
    "non-commercial",
    "for research; redistribution unclear",
    f"in two columns from {MTL} (data/BC4CHEMD-IOB), as BioC from biocreative.bioinformatics.udel.edu (CHEMDNER "
    "corpus); the terms of redistribution are not stated: keep copies to yourself, cite Krallinger et al. 2015",
)
N2C2 = Licence(
    "restricted",
    "n2c2 data use agreement",
    "ask at portal.dbmi.hms.harvard.edu/projects/n2c2-nlp; a signed data use agreement is needed, and the text may go "
    "to nobody who has not signed it",
)
GENIA = Licence(
    "attribution",
    "GENIA project, annotations CC BY 3.0",
    f"from www.geniaproject.org/shared-tasks/bionlp-jnlpba-shared-task-2004, or {MTL} (data/JNLPBA); "
    "PubMed's terms hold for the abstracts",
)

NCBI_TYPES = dict.fromkeys(("SpecificDisease", "DiseaseClass", "Modifier", "CompositeMention"), "Disease")
GENIA_TYPES = ("protein", "DNA", "RNA", "cell_line", "cell_type")
ANATOMY = (
    "Organism_subdivision",
    "Anatomical_system",
    "Organ",
    "Multi-tissue_structure",
    "Tissue",
    "Cell",
    "Developing_anatomical_structure",
    "Cellular_component",
    "Organism_substance",
    "Immaterial_anatomical_entity",
    "Pathological_formation",
    "Cancer",
)
CHEMICALS = ("ABBREVIATION", "FAMILY", "FORMULA", "IDENTIFIER", "MULTIPLE", "SYSTEMATIC", "TRIVIAL", "NO CLASS")
CONCEPTS = ("problem", "test", "treatment")
EVENTS = ("PROBLEM", "TEST", "TREATMENT", "CLINICAL_DEPT", "EVIDENTIAL", "OCCURRENCE")

MTL_NAMES = {"train": "train.tsv", "dev": "devel.tsv", "test": "test.tsv"}


def _in_columns(types: Mapping[str, str]) -> Reader:
    return lambda folder, split: _each(columns.read, folder, split, types)


def _each(read: Callable[..., Iterator[Entities]], folder: UPath, split: Split, types: object) -> Iterator[Entities]:
    for name in split.files:
        yield from read(folder / name, types)


def _both(folder: UPath, split: Split) -> Iterator[Entities]:
    """BC5CDR's two copies in columns, which have the same tokens: their mentions put together."""
    first, second = (folder / name for name in split.files)
    diseases = columns.read(first, {"disease": "Disease", "": "Disease"})
    chemicals = columns.read(second, {"chemical": "Chemical", "": "Chemical"})
    number = 0
    for number, one in enumerate(diseases, 1):
        other = next(chemicals, None)
        if other is None or one.tokens != other.tokens:
            raise CorpusError(second, 0, f"sentence {number} is not that of {first}: the copies are not of one corpus")
        yield Entities(one.id, one.tokens, ordered(one.mentions + other.mentions))
    if next(chemicals, None) is not None:
        raise CorpusError(second, 0, f"more sentences than the {number} of {first}: the copies are not of one corpus")


def _mtl(train: int | None, dev: int | None, test: int | None) -> tuple[Split, ...]:
    counts = {"train": train, "dev": dev, "test": test}
    return tuple(Split(name, (MTL_NAMES[name],), counts[name]) for name in ("train", "dev", "test"))


def _split(train: str, dev: str, test: str) -> tuple[Split, ...]:
    return Split("train", (train,)), Split("dev", (dev,)), Split("test", (test,))


def _published(split: str, bert: float | None, small: float | None, large: float | None) -> tuple[Figure, ...]:
    models = (("BioBERT / BioClinicalBERT", bert), ("Llama2-MedTuned-7b", small), ("Llama2-MedTuned-13b", large))
    return tuple(Figure(name, value, "F1", split, MEDTUNED) for name, value in models if value is not None)


def _columns(
    name: str,
    title: str,
    folder: str,
    subject: str,
    label: str,
    splits: tuple[Split, ...],
    licence: Licence,
    *,
    figures: tuple[Figure, ...] = (),
    types: tuple[str, ...] = (),
    tried: bool = False,
    note: str = "",
) -> Task[Entities, Gold]:
    """A corpus of one type, in two columns; B and I may stand with the type or without."""
    known = {kind.lower(): label for kind in (*(types or (label,)), "")}
    return Task(
        name,
        title,
        ENTITIES,
        folder,
        splits,
        _in_columns(known),
        licence,
        subject,
        (label,),
        figures=figures,
        tried=tried,
        note=note,
    )


DEV_SCORED = "The published figures are of the development split, which the paper scored as its test."

TASKS: tuple[Task[Entities, Gold], ...] = (
    _columns(
        "ncbi_disease",
        "NCBI disease corpus",
        "ncbi-disease",
        "diseases",
        "Disease",
        _mtl(5432, 923, 940),
        PUBLIC_NCBI,
        figures=_published("dev", 88.62, 87.18, 85.69),
        tried=True,
        note=f"{DEV_SCORED} The paper had 5,424 training sentences: they were split otherwise.",
    ),
    _columns(
        "bc5cdr_disease",
        "BC5CDR, diseases",
        "bc5cdr-disease",
        "diseases",
        "Disease",
        _mtl(4560, 4581, 4797),
        PUBLIC_CDR,
        figures=_published("dev", 86.67, 83.92, 85.46),
        tried=True,
        note=DEV_SCORED,
    ),
    _columns(
        "bc5cdr_chem",
        "BC5CDR, chemicals",
        "bc5cdr-chem",
        "chemicals and drugs",
        "Chemical",
        _mtl(4560, 4581, 4797),
        PUBLIC_CDR,
        figures=_published("dev", 94.73, 93.88, 94.51),
        tried=True,
        note=DEV_SCORED,
    ),
    Task(
        name="bc5cdr",
        title="BC5CDR, diseases and chemicals",
        family=ENTITIES,
        folder=".",
        splits=tuple(
            Split(name, (f"bc5cdr-disease/{file}", f"bc5cdr-chem/{file}"), count)  # type: ignore[arg-type]
            for (name, file), count in zip(MTL_NAMES.items(), (4560, 4581, 4797), strict=True)
        ),
        read=_both,
        licence=PUBLIC_CDR,
        subject="diseases, chemicals and drugs",
        labels=("Disease", "Chemical"),
        tried=True,
        note="The sentences of bc5cdr_disease and bc5cdr_chem, with the mentions of both.",
    ),
    _columns(
        "bc2gm",
        "BioCreative II gene mention",
        "bc2gm",
        "genes and proteins",
        "Gene",
        _mtl(12574, 2519, None),
        Licence("attribution", CC_BY, f"from {MTL} (data/BC2GM-IOB); cite Smith et al. 2008"),
        figures=_published("dev", 87.62, 76.46, 79.12),
        note=DEV_SCORED,
    ),
    _columns(
        "bc4chemd",
        "BioCreative IV CHEMDNER",
        "bc4chemd",
        "chemicals and drugs",
        "Chemical",
        _mtl(None, None, None),
        CHEMDNER,
    ),
    _columns(
        "jnlpba",
        "JNLPBA 2004, types merged",
        "jnlpba",
        "genes, gene products and cells (proteins, DNA, RNA, cell lines and cell types)",
        "Entity",
        _mtl(None, None, 3856),
        GENIA,
        figures=_published("test", 80.33, 82.30, 81.31),
        types=(*GENIA_TYPES, "Entity"),
        note="The five types count as one, as in the paper's B, I and O; jnlpba_types tells them apart. The official "
        "parts are train (18,546 sentences) and test; dev is cut from train by the publisher of this copy.",
    ),
    _columns(
        "linnaeus",
        "LINNAEUS species",
        "linnaeus",
        "species (by scientific or common name)",
        "Species",
        _mtl(None, None, None),
        Licence("attribution", CC_BY, f"from {MTL} (data/linnaeus-IOB); cite Gerner et al. 2010"),
        note="The corpus has no official parts: these are those of the copy in columns.",
    ),
    _columns(
        "anatem",
        "AnatEM, types merged",
        "anatem",
        "anatomical structures (from cell components to organ systems, healthy or diseased)",
        "Anatomy",
        _mtl(None, None, None),
        Licence("attribution", "CC BY-SA 3.0", f"from {MTL} (data/AnatEM-IOB); cite Pyysalo and Ananiadou 2014"),
        types=(*ANATOMY, "Anatomy"),
        note="anatem_types tells its twelve types apart.",
    ),
    Task(
        name="jnlpba_types",
        title="JNLPBA 2004, five types",
        family=ENTITIES,
        folder="jnlpba",
        splits=(
            Split("train", ("Genia4ERtask2.iob2",), 18546),
            Split("test", ("Genia4EReval2.iob2",), 3856),
        ),
        read=_in_columns({kind.lower(): kind for kind in GENIA_TYPES}),
        licence=GENIA,
        subject="proteins, DNA, RNA, cell lines and cell types",
        labels=GENIA_TYPES,
        note="The organisers' own files and parts; they have no development split.",
    ),
    Task(
        name="ncbi_disease_abstracts",
        title="NCBI disease corpus, titles and abstracts",
        family=ENTITIES,
        folder="ncbi-disease",
        splits=_split("NCBItrainset_corpus.txt", "NCBIdevelopset_corpus.txt", "NCBItestset_corpus.txt"),
        read=lambda folder, split: _each(pubtator.read, folder, split, NCBI_TYPES),
        licence=PUBLIC_NCBI,
        subject="diseases",
        labels=("Disease",),
        note="The four kinds of mention count as one.",
    ),
    Task(
        name="bc5cdr_abstracts",
        title="BC5CDR, titles and abstracts",
        family=ENTITIES,
        folder="bc5cdr",
        splits=_split("CDR_TrainingSet.PubTator.txt", "CDR_DevelopmentSet.PubTator.txt", "CDR_TestSet.PubTator.txt"),
        read=lambda folder, split: _each(pubtator.read, folder, split, {"Disease": "Disease", "Chemical": "Chemical"}),
        licence=PUBLIC_CDR,
        subject="diseases, chemicals and drugs",
        labels=("Disease", "Chemical"),
    ),
    Task(
        name="bc4chemd_abstracts",
        title="BioCreative IV CHEMDNER, titles and abstracts",
        family=ENTITIES,
        folder="bc4chemd",
        splits=_split("training.bioc.xml", "development.bioc.xml", "evaluation.bioc.xml"),
        read=lambda folder, split: _each(bioc.read, folder, split, dict.fromkeys(CHEMICALS, "Chemical")),
        licence=CHEMDNER,
        subject="chemicals and drugs",
        labels=("Chemical",),
        note="The classes of mention count as one.",
    ),
    Task(
        name="anatem_types",
        title="AnatEM, twelve types",
        family=ENTITIES,
        folder="anatem",
        splits=_split("standoff/train", "standoff/devel", "standoff/test"),
        read=lambda folder, split: _each(standoff.read, folder, split, {kind: kind for kind in ANATOMY}),
        licence=Licence(
            "attribution", "CC BY-SA 3.0", "from nactem.ac.uk/anatomytagger; cite Pyysalo and Ananiadou 2014"
        ),
        subject="anatomical structures (from cell components to organ systems, healthy or diseased)",
        labels=ANATOMY,
    ),
    Task(
        name="i2b2_2010_concepts",
        title="2010 i2b2/VA concepts",
        family=ENTITIES,
        folder="i2b2-2010",
        splits=(
            Split("train", ("concept_assertion_relation_training_data",)),
            Split("test", ("reference_standard_for_test_data", "test_data")),
        ),
        read=lambda folder, split: i2b2.concepts(folder, split, {kind: kind for kind in CONCEPTS}),
        licence=N2C2,
        subject="medical problems, tests and treatments",
        labels=CONCEPTS,
        note="Items are the lines of the notes.",
    ),
    Task(
        name="i2b2_2012_events",
        title="2012 i2b2 temporal relations, events",
        family=ENTITIES,
        folder="i2b2-2012",
        splits=(
            Split("train", ("2012-07-15.original-annotation.release",)),
            Split("test", ("ground_truth/merged_xml",)),
        ),
        read=lambda folder, split: i2b2.events(folder, split, {kind.lower(): kind for kind in EVENTS}),
        licence=N2C2,
        subject="clinical events (problems, tests, treatments, clinical departments, sources of evidence and other "
        "occurrences)",
        labels=EVENTS,
        figures=_published("unknown", 82.98, None, 80.64),
        note="Items are the lines of the notes. Of the published figures the split is not known (5,664 sentences).",
    ),
)
