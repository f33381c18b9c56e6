"""HTML out of Python: whatever is not markup already is escaped, so no name of a file or class can be taken for HTML.

Secrets in it are starred.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from raytl.sanitize import redacted

_VOID = ("img", "meta", "br", "line", "circle", "rect", "path")
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#57606a;--line:#d8dee4;--paper:#fff;--card:#f6f8fa;--mark:#0072b2;
--good:#1a7f37;--bad:#c62828;--warn:#9a6700}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--line:#30363d;--paper:#0d1117;--card:#161b22;
--mark:#58a6ff;--good:#3fb950;--bad:#ff7b72;--warn:#d29922}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:1000px;margin:0 auto;padding:32px 20px 80px}h1{font-size:1.6rem;margin:0 0 4px}
h2{font-size:1.1rem;margin:36px 0 8px}.soft{color:var(--soft)}a{color:var(--mark)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 20px;margin:18px 0}
.card ul{margin:6px 0 0;padding-left:20px}.big{font-size:1.35rem;font-weight:650}
.promote{color:var(--good)}.reject,.failure{color:var(--bad)}.attention{color:var(--warn)}.keep,.skip{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right}
.tiles{display:flex;flex-wrap:wrap;gap:12px}.tile{width:132px;font-size:.78rem;line-height:1.3;overflow-wrap:anywhere}
.tile img{width:132px;height:100px;object-fit:cover;border-radius:6px;display:block;margin-bottom:3px}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}
"""


class Markup(str):
    """HTML that is put in as it is."""

    __slots__ = ()


Node = str | Markup | Iterable["Node"] | None


def tag(name: str, /, *children: Node, **attributes: object) -> Markup:
    """An element; `class_` is `class`, other underscores are dashes, an attribute of None is left out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(children)}</{name}>")


def joined(nodes: Iterable[Node]) -> Markup:
    """The nodes one after the other, text escaped."""
    return Markup("".join(_rendered(node) for node in nodes))


def table(head: Sequence[str], rows: Iterable[Sequence[Node]], numbers: Sequence[int] = ()) -> Markup:
    """A table; the columns in `numbers` are flush right."""

    def cells(name: str, row: Sequence[Node]) -> Markup:
        return tag("tr", [tag(name, cell, class_="n" if at in numbers else None) for at, cell in enumerate(row)])

    body = [cells("td", row) for row in rows]
    return tag("div", tag("table", tag("thead", cells("th", head)), tag("tbody", body)), class_="scroll")


def page(title: str, *content: Node) -> str:
    """The whole document."""
    return "<!doctype html>" + tag(
        "html",
        tag("head", tag("meta", charset="utf-8"), tag("title", title), _viewport(), tag("style", Markup(_STYLE))),
        tag("body", tag("main", content)),
        lang="en",
    )


def _viewport() -> Markup:
    return tag("meta", name="viewport", content="width=device-width, initial-scale=1")


def _rendered(node: Node) -> str:
    if node is None:
        return ""
    if isinstance(node, Markup):
        return node
    return html.escape(redacted(node)) if isinstance(node, str) else joined(node)
