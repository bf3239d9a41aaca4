"""The talk page's files."""

import re

import pytest

from trunkline.server.talk import static_pages

PAGES = static_pages()


def test_the_page_is_at_the_root() -> None:
    assert PAGES["/"] is PAGES["/index.html"]
    assert b"<!doctype html>" in PAGES["/"].body
    assert set(static_pages("/talk/")) == {"/talk" + path for path in PAGES}


def test_everything_a_file_names_is_there() -> None:
    names = set()
    for page in PAGES.values():
        text = page.body.decode()
        names.update(re.findall(r'(?:src|href)="([^"]+)"', text))
        names.update(re.findall(r'from "\./([^"]+)"', text))
        names.update(re.findall(r'addModule\("([^"]+)"\)', text))
    assert {"app.js", "audio.js", "show.js", "worklet.js", "style.css", "icon.svg"} <= names
    assert all(f"/{name}" in PAGES for name in names)


@pytest.mark.parametrize("path", sorted(PAGES))
def test_nothing_comes_from_elsewhere(path: str) -> None:
    text = PAGES[path].body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://(?!localhost)\w", text)
    assert "@import" not in text
    assert "innerHTML" not in text


@pytest.mark.parametrize("path", sorted(PAGES))
def test_nothing_but_this_pages_own_files_may_run(path: str) -> None:
    headers = PAGES[path].headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert PAGES[path].content_type != "text/plain; charset=utf-8"


def test_every_control_has_a_name() -> None:
    html = PAGES["/"].body.decode()
    assert '<html lang="en">' in html
    for control in re.findall(r"<(?:meter|select)[^>]*id=\"([^\"]+)\"", html):
        labelled = f'for="{control}"' in html or re.search(
            rf"<label[^>]*>[^<]*<select id=\"{control}\"", html
        )
        assert labelled, control
