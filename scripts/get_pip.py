"""Fetches pip's own wheel, for a Python that has none, into the folder it is given.

Debian's python3 comes without ensurepip and without pip, and not everybody is root.
Prints where the wheel is; it runs as it is (``python pip-25.0-py3-none-any.whl/pip``).
The index is $PIP_INDEX_URL or PyPI; the file must have the hash that the index says.
"""

import hashlib
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin
from urllib.request import urlopen

INDEX = "https://pypi.org/simple"
WHEEL = re.compile(r"/(pip-([0-9]+(?:\.[0-9]+)*)-py3-none-any\.whl)$")
SECONDS = 60


class Links(HTMLParser):
    """The links of an index page, each with what its tag says."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the attributes of a link."""
        if tag == "a":
            self.found.append(dict(attrs))


def newest(page: str, base: str, python: tuple[int, int]) -> str:
    """The URL of the newest wheel that runs on this Python; raises LookupError."""
    links = Links()
    links.feed(page)
    wheels = []
    for link in links.found:
        url = urljoin(base, link.get("href") or "")
        wheel = WHEEL.search(urldefrag(url).url)
        needs = re.search(r">=\s*3\.([0-9]+)", link.get("data-requires-python") or "")
        if wheel is None or "data-yanked" in link or (needs and (3, int(needs[1])) > python):
            continue
        wheels.append((tuple(map(int, wheel[2].split("."))), url))
    if not wheels:
        raise LookupError("there is no wheel of pip")
    return max(wheels)[1]


def fetch(url: str) -> bytes:
    """What is at an address."""
    with urlopen(url, timeout=SECONDS) as answer:
        whole: bytes = answer.read()
    return whole


def get_pip(folder: Path, index: str, python: tuple[int, int]) -> Path:
    """Fetch pip's wheel into a folder; raises OSError or LookupError."""
    base = f"{index.rstrip('/')}/pip/"
    url, fragment = urldefrag(newest(fetch(base).decode(), base, python))
    wheel = fetch(url)
    if fragment != f"sha256={hashlib.sha256(wheel).hexdigest()}":
        raise LookupError(f"{url} is not what the index says it is")
    path = folder / url.rpartition("/")[2]
    path.write_bytes(wheel)
    return path


def main() -> None:
    """Fetch it, or say why not."""
    index = os.environ.get("PIP_INDEX_URL") or INDEX
    try:
        print(get_pip(Path(sys.argv[1]), index, sys.version_info[:2]))
    except (OSError, LookupError) as error:
        sys.exit(f"pip could not be fetched from {index}: {error}")


if __name__ == "__main__":
    main()
