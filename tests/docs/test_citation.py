"""CITATION.cff is what version 1.2.0 of the format asks for, and names both papers."""

import re

import yaml

from bioinstruct_jax import __version__
from tests.docs import pages


def test_the_citation_is_whole():
    # Mutations: a person without a name; a reference without authors; the version left behind at a release.
    cff = yaml.safe_load(pages.text(pages.ROOT / "CITATION.cff"))
    assert cff["cff-version"] == "1.2.0"
    assert {"title", "message", "authors"} <= cff.keys()
    assert cff["version"] == __version__
    assert cff["type"] == "software"
    allowed = {
        "cff-version", "title", "message", "type", "authors", "license", "version", "references", "abstract",
        "keywords", "repository-code",
    }  # fmt: skip
    assert cff.keys() <= allowed
    for work in (cff, *cff["references"]):
        assert work["authors"]
        for author in work["authors"]:
            assert author.keys() <= {"name"} or author.keys() <= {"family-names", "given-names"}
    for reference in cff["references"]:
        assert {"type", "title", "authors"} <= reference.keys()
        assert isinstance(reference["year"], int)
        assert re.fullmatch(r"10\.\d+/\S+", reference["doi"]) if "doi" in reference else True
    titles = " ".join(reference["title"] for reference in cff["references"])
    assert "BioInstruct" in titles
    assert "Llama2-MedTuned" in titles
