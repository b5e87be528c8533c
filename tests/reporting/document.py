"""A report as a browser reads it, for tests."""

import base64
import hashlib
from collections.abc import Collection
from html.parser import HTMLParser


class Document(HTMLParser):
    """Elements in their order as (tag, attributes), and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # (tag around it, text)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br"):
            self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, (tag, self._open)

    def handle_data(self, data):
        around = self._open[-1] if self._open else ""
        self.texts.append((around, data))
        if around == "script":
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "".join(text for around, text in self.texts if around == tag)

    def check(self, links: Collection[str] = ()) -> None:
        """What holds of every report: closed elements, one h1, ids once, names that lead somewhere, a strict policy.

        It leads to none but `links`, which lie beside it.
        """
        assert not self._open, self._open
        assert len(self.of("h1")) == 1
        ids = [attrs["id"] for _, attrs in self.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), ids
        for _, attrs in self.elements:
            for key in ("aria-labelledby", "aria-describedby", "for"):
                assert attrs.get(key) in (None, *ids), attrs
            assert not [key for key in attrs if key.startswith("on") or key == "style"], attrs
            assert attrs.get("href") in (None, *links), attrs
            assert (attrs.get("src") or "data:").startswith("data:"), attrs
        labelled = {attrs.get("for") for attrs in self.of("label")}
        assert all(attrs["id"] in labelled for attrs in self.of("input"))
        assert all(attrs.get("scope") in ("col", "row") for attrs in self.of("th"))
        assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in self.of("svg"))
        self._check_policy()

    def _check_policy(self) -> None:
        (policy,) = (attrs["content"] for attrs in self.of("meta") if "http-equiv" in attrs)
        rules = {name: rest for name, _, rest in (rule.strip().partition(" ") for rule in policy.split(";"))}
        run = [text for attrs, text in self.scripts if attrs.get("type") is None]
        assert rules.pop("style-src") == _hash(self.text("style"))
        assert rules.pop("script-src", "") == " ".join(map(_hash, run))
        none = dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
        assert rules == {**none, "img-src": "data:"}
        assert {attrs.get("type") for attrs, _ in self.scripts} <= {None, "application/json"}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
