"""The site of `make docs`: what it is made from, and what the check of the built site sees."""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import List

import pytest

from browser import PROGRAM, Browser
from documentation import built, diagram, links, tables

ROOT = Path(__file__).parents[2]
MKDOCS = ROOT / ".venv" / "docs" / "bin" / "mkdocs"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    if not MKDOCS.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("MkDocs is not installed: make .venv/.docs")
        pytest.skip("MkDocs is not installed here: make .venv/.docs")
    target = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run([str(ROOT / "scripts" / "docs"), str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_the_site_builds_and_is_whole(made: Path) -> None:
    """Without a warning of MkDocs, a link that is broken, or anything that is fetched from elsewhere."""
    start = built.read((made / "index.html").read_text(encoding="utf-8"))
    assert {"reasons.html", "choose.html", "commands.html"} <= {one.partition("#")[0] for one in start.followed}


@pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")
def test_the_search_finds_an_exit_reason_where_the_site_is_read_from_a_disk(made: Path) -> None:
    """Whoever types a message of the agent's finds the page that explains it; nothing is fetched from elsewhere."""
    with Browser() as browser:
        browser.open(made / "index.html")
        browser.evaluate("document.querySelector('.md-search__input').focus()")
        browser.call("Input.insertText", text="contradicts what this node wrote")
        browser.press("Shift")  # The theme looks when a key is let go.
        first = browser.evaluate(
            "new Promise((done, fail) => { setTimeout(fail, 60000, 'nothing was found'); (function look() {"
            " const found = document.querySelector('.md-search-result__item a');"
            " found ? done(found.href) : setTimeout(look, 50) })() })"
        )
        assert Path(first.partition("#")[0]).name == "reasons.html"
        assert [one for one in browser.requests() if not one.startswith(("file:", "data:"))] == []


@pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")
def test_pages_fit_a_telephone(made: Path) -> None:
    """No table, picture or block of commands is wider than the window."""
    found = "[...document.querySelectorAll('.md-content :is(table, pre, svg, img)')]"
    with Browser(390, 900) as browser:
        for page in ("index.html", "parameters.html", "lab.html", "tutorials/overlay-ip.html"):
            browser.open(made / page)
            wide = browser.evaluate(f"{found}.filter(one => one.getBoundingClientRect().right > innerWidth).length")
            assert wide == 0, page


# -- what the check sees -----------------------------------------------------------------------------------------------


def site(tmp_path: Path, **files: str) -> List[str]:
    """What is wrong with a site that has these files, with `_` for the dot in their names, and a page that is whole."""
    (tmp_path / "whole.html").write_text('<p id="here"><a href="#here">x</a><a href="https://aws.example/">y</a></p>')
    for name, text in files.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    return built.complaints(tmp_path)


def test_a_whole_site(tmp_path: Path) -> None:
    """A reader may follow a link to another site; that is no load."""
    assert site(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img src="HTTP://pictures.example/a.png">',
        '<picture><source srcset="https://pictures.example/a.svg 2x"></picture>',
        "<style>@import 'https://fonts.example/css';</style>",
        '<p style="background: url(https://pictures.example/a.png)">',
        '<iframe src="https://elsewhere.example/"></iframe>',
    ],
)
def test_what_a_page_fetches_from_elsewhere(tmp_path: Path, text: str) -> None:
    """A script, a font, a picture or a frame from another site."""
    (complaint,) = site(tmp_path, page_html=text)
    assert complaint.startswith("page.html: fetches ")


def test_what_a_style_and_a_script_fetch(tmp_path: Path) -> None:
    """Also in files of their own; a comment fetches nothing."""
    found = site(
        tmp_path,
        a_css="/* url(https://comment.example/) */ p { background: url('https://pictures.example/a.png') }",
        b_js="/* https://comment.example/ */ fetch('https://data.example/x.json')",
    )
    assert found == ["a.css: fetches https://pictures.example/a.png", "b.js: names https://data.example/x.json"]


def test_what_the_theme_would_fetch(tmp_path: Path) -> None:
    """Its script for diagrams names another site: nothing is fetched unless a page has such a diagram."""
    script = 'watchScript("https://unpkg.com/mermaid@11/dist/mermaid.min.js")'
    assert site(tmp_path, bundle_js=script) == []
    (complaint,) = site(tmp_path, page_html='<pre class="mermaid"></pre>')
    assert complaint.startswith("bundle.js: names https://unpkg.com/mermaid")


@pytest.mark.parametrize("target", ["gone.html", "whole.html#nowhere", "../outside.html", "picture.svg"])
def test_a_broken_link(tmp_path: Path, target: str) -> None:
    """A page, a place on a page, something outside of the site, or a picture that is not there."""
    (tmp_path.parent / "outside.html").write_text("")
    (complaint,) = site(tmp_path, page_html=f'<a href="{target}">x</a>')
    assert target in complaint


@pytest.mark.parametrize(
    "text", ['<p>=== "Debian 12"</p>', "<p>!!! note</p>", "<pre><code>```sh\nls\n```</code></pre>"]
)
def test_markup_that_the_reader_would_see(tmp_path: Path, text: str) -> None:
    """A tab, a note or a block of code that no extension of Markdown has made something of."""
    (complaint,) = site(tmp_path, page_html=text)
    assert complaint.startswith("page.html: shows markup: ")


def test_a_site_without_pages(tmp_path: Path) -> None:
    """A build that wrote nothing is no whole site."""
    assert built.complaints(tmp_path) == [f"{tmp_path} has no page"]


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("README.md", "[a](docs/lab.md#faults)", "[a](lab.md#faults)"),
        ("README.md", "[a](crm-examples/)", "[a](crm-examples/README.md)"),
        ("docs/operations.md", "[a](../crm-examples/README.md)", "[a](crm-examples/README.md)"),
        ("docs/operations.md", "[a](../README.md#use-it)", "[a](index.md#use-it)"),
        ("docs/tutorials/first.md", "[`a`](../lab.md), ![b](b.svg)", "[`a`](../lab.md), ![b](b.svg)"),
        ("crm-examples/README.md", "[a](../docs/operations.md)", "[a](../operations.md)"),
        ("docs/lab.md", "[a](#faults) [b](https://aws.example/)", "[a](#faults) [b](https://aws.example/)"),
        ("README.md", "`[a](docs/lab.md)` [b](docs/lab.md)", "`[a](docs/lab.md)` [b](lab.md)"),
        ("README.md", "```\n[a](docs/lab.md)\n```", "```\n[a](docs/lab.md)\n```"),
    ],
)
def test_links_lead_to_where_the_site_has_the_file(page: str, text: str, expected: str) -> None:
    """Pages have the links of the repository; those in code stay."""
    assert links.for_site(text, page) == expected


def test_every_link_of_a_page_in_the_repository_is_there() -> None:
    """Who reads the pages in the repository, and not in the site, finds what they link to."""
    pages = [*links.PAGES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
    for page in pages:
        targets = links.targets((ROOT / page).read_text(encoding="utf-8"), page)
        assert [one for one in sorted(targets) if one and not (ROOT / one).exists()] == [], page


# -- diagrams ----------------------------------------------------------------------------------------------------------

DRAWN = """
┌────┐
│ a ═╪══▶ b
└────┘ ✗
""".strip("\n")


def test_a_diagram_becomes_a_picture() -> None:
    """Lines, the way of a packet with the head of its arrow, a cross, and texts, in an SVG with a description."""
    picture = ElementTree.fromstring(diagram.svg(DRAWN, "a & b"))
    name = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in picture.iter(f"{name}text")] == ["a", "b"]
    assert {path.get("class") for path in picture.iter(f"{name}path")} == {"line", "way", "cross"}
    assert [head.get("class") for head in picture.iter(f"{name}polygon")] == ["way"]
    assert picture.get("aria-label") == "a & b"
    assert picture.get("width") == f"{11 * diagram.WIDTH:.0f}"


def test_only_diagrams_are_drawn() -> None:
    """Other blocks of code stay as they are, and a picture is one line of HTML, as Markdown needs it."""
    page = f"```diagram A title\n{DRAWN}\n```\n\n```\n{DRAWN}\n```"
    first, _, rest = diagram.replace_all(page).partition("\n")
    assert first.startswith('<figure class="diagram"><svg ')
    assert first.endswith("</svg></figure>")
    assert rest == f"\n```\n{DRAWN}\n```"


def test_the_readme_is_a_read_of_three_minutes() -> None:
    """At 270 words a minute, with its tables, which one looks through; blocks of commands are not counted."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    read = re.sub(r"^```.*?^```$|\]\([^)]*\)", " ", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"\S*\w\S*", read)) <= 3 * 270


def test_diagrams_of_the_pages_have_descriptions() -> None:
    """Who cannot see a picture is told what it shows."""
    for page in (ROOT / "docs").rglob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            assert line.strip() != "```diagram", page


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_cell_of_a_table_knows_its_column() -> None:
    """So that a narrow screen can show them below each other; no name, no label. A bar in code has no backslash."""
    right = 'style="text-align: right;"'
    headings = f"<tr>\n<th>name</th>\n<th {right}><code>a</code> &amp; b</th>\n<th></th>\n</tr>"
    row = f"<tr>\n<td><code>x\\|y</code></td>\n<td {right}>1</td>\n<td></td>\n</tr>"
    table = f"<table>\n<thead>\n{headings}\n</thead>\n<tbody>\n{row}\n</tbody>\n</table>"
    made = tables.labelled(f"<p>before</p>{table}<table class='other'><tr><th>a</th></tr><tr><td>b</td></tr></table>")
    assert '<td data-label="name"><code>x|y</code></td>' in made
    assert '<td data-label="a &amp; b" style="text-align: right;">1</td>' in made
    assert "<td></td>" in made
    assert "<td>b</td>" in made
