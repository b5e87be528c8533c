"""BioC XML: collections of documents of passages with annotations by character offsets (Comeau et al. 2013, BioC.dtd).

Expat reads it, and nothing outside the file: the DTD that a collection names is not fetched, and a file that declares
entities of its own, or uses any but XML's five, is refused. A passage is one item, or a sentence where the publisher
has divided passages into them. Relations are passed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.tasks.passages import Annotation, Passage, items
from bioinstruct_jax.tasks.spans import Entities
from bioinstruct_jax.tasks.task import CorpusError

BLOCK = 1 << 20


@dataclass
class _Text:
    """A passage or sentence while it is read."""

    offset: int = -1
    text: str = ""


@dataclass
class _Reader:
    """What Expat has met so far; `done` holds the finished documents."""

    file: UPath
    types: Mapping[str, str]
    done: list[Entities] = field(default_factory=list)
    documents: int = 0

    def __post_init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.EntityDeclHandler = self.declared
        self.parser.SkippedEntityHandler = self.skipped
        self.open: list[str] = []
        self.value = ""
        self.id = ""
        self.passages: list[_Text] = []
        self.sentences: list[_Text] = []
        self.annotations: list[Annotation] = []
        self.kind, self.words, self.line = "", "", 0
        self.pieces: list[tuple[int, int]] = []

    def error(self, problem: str) -> CorpusError:
        return CorpusError(self.file, self.parser.CurrentLineNumber, problem)

    def declared(self, name: str, *_: object) -> None:
        raise self.error(f"declares the entity {name[:40]!r}: BioC files do not, and it is not read")

    def skipped(self, name: str, parameter: bool) -> None:
        if not parameter:
            raise self.error(f"uses the entity &{name[:40]};, which the file does not define")

    def characters(self, text: str) -> None:
        self.value += text

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.open and name != "collection":
            raise self.error(f"begins with <{name[:40]}>, not with <collection>: this is no BioC file")
        self.open.append(name)
        self.value = ""
        if name == "document":
            self.id, self.passages, self.sentences, self.annotations = "", [], [], []
        elif name == "passage":
            self.passages.append(_Text())
        elif name == "sentence":
            self.sentences.append(_Text())
        elif name == "annotation":
            self.kind, self.words, self.pieces, self.line = "", "", [], self.parser.CurrentLineNumber
        elif name == "infon" and "annotation" in self.open:
            self.open[-1] = f"infon:{attributes.get('key', '')}"
        elif name == "location":
            start, length = (self.number(attributes.get(key, "")) for key in ("offset", "length"))
            self.pieces.append((start, start + length))

    def number(self, text: str) -> int:
        if not text.strip().isdecimal():
            raise self.error(f"{text[:40]!r} where an offset or length in characters is expected")
        return int(text)

    def end(self, name: str) -> None:
        element, value, self.value = self.open.pop(), self.value, ""
        within = self.open[-1] if self.open else ""
        if within == "annotation":
            if element == "infon:type":
                self.kind = value.strip()
            elif element == "text":
                self.words = value
        elif within in ("passage", "sentence") and element in ("offset", "text"):
            part = (self.passages if within == "passage" else self.sentences)[-1]
            if element == "text":
                part.text = value
            else:
                part.offset = self.number(value)
        elif within == "document" and element == "id":
            self.id = value.strip()
        elif element == "annotation":
            if not self.pieces:
                raise self.error("an annotation without <location>")
            self.annotations.append(Annotation(self.line, self.kind, tuple(self.pieces), self.words))
        elif element == "document":
            self.documents += 1
            self.done.extend(self.document())

    def document(self) -> Iterator[Entities]:
        parts = self.sentences or [part for part in self.passages if part.text]
        if not self.id:
            raise self.error("a document without <id>")
        if any(part.offset < 0 for part in parts):
            raise self.error(f"document {self.id}: a passage without <offset>")
        parts = sorted(parts, key=lambda part: part.offset)
        passages = [Passage(f"{self.id}:{number}", part.offset, part.text) for number, part in enumerate(parts, 1)]
        if not passages and self.annotations:
            raise self.error(f"document {self.id}: annotations without a text")
        yield from items(self.file, passages, self.annotations, self.types)


def read(file: UPath, types: Mapping[str, str]) -> Iterator[Entities]:
    """Passages with text, or sentences where there are any; an id is the document's and the passage's number from 1.

    Args:
        types: an annotation's ``type`` as the file writes it -> label.

    Raises:
        CorpusError: no XML, no BioC, entities, a document without id, a passage without offset, an unknown type,
            offsets beyond the text or where other words stand, no document.
    """
    reader = _Reader(file, types)
    with files.open_bytes(file) as stream:
        last = False
        while not last:
            block = stream.read(BLOCK)
            last = not block
            try:
                reader.parser.Parse(block, last)
            except expat.ExpatError as error:
                raise CorpusError(file, error.lineno, f"no well-formed XML: {expat.ErrorString(error.code)}") from error
            except LookupError as error:
                raise CorpusError(file, 1, f"{error}; save it as UTF-8") from error
            yield from reader.done
            reader.done.clear()
    if not reader.documents:
        raise CorpusError(file, 0, "no document in the whole file")
