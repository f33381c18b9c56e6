"""Parse XML into elements with lines, without a DTD: nothing external is read and no entity expands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_DEPTH = 16
MAX_ELEMENTS = 4_000_000


@dataclass(slots=True)
class Element:
    """An element: its tag, its line, its text before the first child, and its children."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """Yield the children with this tag."""
        return (child for child in self.children if child.tag == tag)

    def find(self, path: str) -> Element | None:
        """Return the first element at a path of tags such as `size/width`."""
        element: Element | None = self
        for tag in path.split("/"):
            element = next(element.all(tag), None) if element else None
        return element

    def value(self, path: str) -> str:
        """Return the stripped text at a path; empty if there is none."""
        element = self.find(path)
        return element.text.strip() if element else ""


class XmlFault(ValueError):
    """The document is not XML within bounds; `line` is where."""

    def __init__(self, fault: str, line: int) -> None:
        super().__init__(fault)
        self.line = line


def parse(content: bytes) -> Element:
    """Return the root of the document.

    Raises:
        XmlFault: it is not well-formed, has a DTD, or is nested too deep.
    """
    parser = expat.ParserCreate()
    builder = _Builder(parser)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as exc:
        raise XmlFault(f"not XML ({expat.ErrorString(exc.code)})", exc.lineno) from exc
    except (LookupError, ValueError) as exc:
        if isinstance(exc, XmlFault):
            raise
        raise XmlFault(f"not XML ({exc})", 1) from exc
    assert builder.root is not None, "a well-formed document has a root"
    return builder.root


class _Builder:
    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self._open: list[Element] = []
        self._count = 0
        self.root: Element | None = None

    def start(self, tag: str, _: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise XmlFault(f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS:,} elements", line)
        element = Element(tag, line)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        if self._open and not self._open[-1].children:
            self._open[-1].text += text

    def doctype(self, *_: object) -> None:
        raise XmlFault(
            "it has a DTD (<!DOCTYPE>), which raytl does not read; remove it", self._parser.CurrentLineNumber
        )
