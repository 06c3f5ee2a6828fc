"""What a built site loads from elsewhere, which links lead to nothing, where it shows markup.

Run as `python -m documentation.built SITE`.

A link that a reader may follow is no load. What MkDocs itself checks, links between pages as they are written, is
checked here once more in the HTML, with pictures in tags of their own and the theme's links.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit

# Attributes whose values a browser fetches by itself; of <a> and <form> none.
_FETCHED = {"src", "srcset", "data", "poster", "href", "xlink:href"}
_FOLLOWED = {"a", "area", "base"}
# What the theme's scripts name, and the class of the element that a page has for it to be fetched. `None`: only a
# browser without ResizeObserver fetches it, and none has been without since 2020.
_NEVER_FETCHED: Dict[str, Optional[str]] = {
    "https://unpkg.com/mermaid": "mermaid",
    "https://unpkg.com/resize-observer-polyfill": None,
    "https://api.github.com/": "md-source",
    "https://gitlab.com/": "md-source",
}
_IN_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# Markup that no extension of Markdown has taken, so that the reader sees it: a tab, an admonition, a block of code.
_MARKUP = re.compile(r"<p>((?:===|!!!|\?\?\?) [^<\n]*)|<code>((?:<[^>]*>)*```[^<\n]*)")


class Page(NamedTuple):
    """A page of HTML: what it fetches, what it links to, the ids in it, and the classes."""

    fetched: Tuple[str, ...]
    followed: Tuple[str, ...]
    ids: Set[str]
    classes: Set[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.fetched: List[str] = []
        self.followed: List[str] = []
        self.ids: Set[str] = set()
        self.classes: Set[str] = set()
        self._style = False

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        self.classes |= set(given.get("class", "").split())
        self._style = tag == "style"
        for name in _FETCHED & set(given):
            if tag in _FOLLOWED or (tag == "link" and given.get("rel") in ("canonical", "next", "prev")):
                self.followed.append(given[name])
            elif name == "srcset":
                self.fetched += [part.split()[0] for part in given[name].split(",") if part.strip()]
            else:
                self.fetched.append(given[name])
        if "style" in given:
            self.fetched += _of_css(given["style"])

    def handle_data(self, data: str) -> None:
        if self._style:
            self.fetched += _of_css(data)


def read(text: str) -> Page:
    """A page from its HTML."""
    reader = _Reader()
    reader.feed(text)
    return Page(tuple(reader.fetched), tuple(reader.followed), reader.ids, reader.classes)


def complaints(site: Path) -> List[str]:
    """What is wrong with the site in this folder: each in one line; empty if nothing is."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    pages = {path: read(text) for path, text in texts.items()}
    found = [] if pages else [f"{site} has no page"]
    for path, text in texts.items():
        found += [f"{path.relative_to(site)}: shows markup: {one or other}" for one, other in _MARKUP.findall(text)]
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: fetches {target}" for target in page.fetched if _is_outside(target)]
        inside = [target for target in (*page.fetched, *page.followed) if not _is_outside(target)]
        found += [f"{name}: {why}" for target in inside for why in _broken(site, path, target, pages)]
    for path in sorted(site.rglob("*.css")):
        fetched = _of_css(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: fetches {target}" for target in fetched if _is_outside(target)]
    classes = set().union(*(page.classes for page in pages.values())) if pages else set()
    for path in sorted(site.rglob("*.js")):
        found += [f"{path.relative_to(site)}: {why}" for why in _of_script(path, classes)]
    return found


def _is_outside(target: str) -> bool:
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", target, re.IGNORECASE))


def _broken(site: Path, page: Path, target: str, pages: Dict[Path, Page]) -> Iterator[str]:
    parts = urlsplit(target)
    if parts.scheme:
        return  # data:, mailto:
    path = page
    if parts.path:
        start = site if parts.path.startswith("/") else page.parent
        path = (start / unquote(parts.path).lstrip("/")).resolve()
    if path.is_dir():
        path /= "index.html"
    if not path.is_file() or site.resolve() not in path.resolve().parents:
        yield f"links to {target}, which is not there"
    elif parts.fragment and parts.fragment != "__top" and path.suffix == ".html":
        known = next((one for name, one in pages.items() if name.resolve() == path.resolve()), None)
        if known is not None and unquote(parts.fragment) not in known.ids:
            yield f"links to {target}, and there is no such place on that page"


def _of_css(text: str) -> List[str]:
    return [one or other for one, other in _IN_CSS.findall(_COMMENT.sub("", text))]


def _of_script(path: Path, classes: Set[str]) -> Iterator[str]:
    """A script may name another site in a comment; what it fetches is told by its quoted URLs."""
    text = _COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace"))
    for match in re.finditer(r"""["'`]((?:https?:)?//[A-Za-z0-9][^"'`\s]*)["'`]""", text):
        url = match.group(1)
        known = next((start for start in _NEVER_FETCHED if url.startswith(start)), None)
        needed = _NEVER_FETCHED.get(known or "")
        if known is None or (needed is not None and needed in classes):
            yield f"names {url}"


def main() -> int:
    """Print the complaints about the site that the command line names; 1 if there are any."""
    found = complaints(Path(sys.argv[1]))
    for one in found:
        sys.stderr.write(f"{one}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
