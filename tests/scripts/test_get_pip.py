"""pip for a Python that has none: the right wheel, the whole of it, or one line why not."""

import hashlib
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__, "../../../scripts/get_pip.py").resolve()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("get_pip", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def page(*links: str) -> str:
    return "<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>"


def link(name: str, more: str = "", hashed: str = "sha256=0") -> str:
    return f'<a href="../../files/{name}#{hashed}" {more}>{name}</a>'


def newest(script: ModuleType, *links: str) -> str:
    url: str = script.newest(page(*links), "https://index.example/simple/pip/", (3, 11))
    return url


def test_the_newest_wheel_is_taken_by_number_not_by_letters(script: ModuleType) -> None:
    found = newest(
        script,
        link("pip-9.0.3-py3-none-any.whl"),
        link("pip-24.10-py3-none-any.whl"),
        link("pip-24.9.1-py3-none-any.whl"),
        link("pip-25.0.tar.gz"),
        link("pipx-30.0-py3-none-any.whl"),
        link("pip-26.0b1-py3-none-any.whl"),
    )
    assert found == "https://index.example/files/pip-24.10-py3-none-any.whl#sha256=0"


def test_a_withdrawn_wheel_or_one_for_a_later_python_is_left(script: ModuleType) -> None:
    found = newest(
        script,
        link("pip-24.0-py3-none-any.whl", 'data-requires-python="&gt;=3.7"'),
        link("pip-24.1-py3-none-any.whl", 'data-yanked="broken"'),
        link("pip-30.0-py3-none-any.whl", 'data-requires-python="&gt;=3.12"'),
    )
    assert "pip-24.0" in found


def test_no_wheel_at_all_is_an_error(script: ModuleType) -> None:
    with pytest.raises(LookupError):
        newest(script, link("pip-25.0.tar.gz"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An index on loopback, and its folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    (tmp_path / "simple/pip").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    yield f"http://127.0.0.1:{server.server_port}/simple", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def offer(folder: Path, wheel: bytes, said: str) -> None:
    name = "pip-25.0-py3-none-any.whl"
    (folder / "files" / name).write_bytes(wheel)
    (folder / "simple/pip/index.html").write_text(page(link(name, hashed=said)))


def run(index: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env={"PIP_INDEX_URL": index}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_wheel_is_fetched_and_its_place_is_printed(index: tuple[str, Path]) -> None:
    url, folder = index
    offer(folder, b"a wheel", "sha256=" + hashlib.sha256(b"a wheel").hexdigest())
    done = run(url, folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).read_bytes() == b"a wheel"
    assert Path(done.stdout.strip()).name == "pip-25.0-py3-none-any.whl"


def test_a_file_that_is_not_what_the_index_says_is_not_kept(index: tuple[str, Path]) -> None:
    url, folder = index
    offer(folder, b"another wheel", "sha256=" + hashlib.sha256(b"a wheel").hexdigest())
    done = run(url, folder)
    assert done.returncode == 1
    assert "is not what the index says" in done.stderr
    assert not list(folder.glob("*.whl"))


def test_no_network_is_one_line(tmp_path: Path) -> None:
    done = run("http://127.0.0.1:9/simple", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("pip could not be fetched from http://127.0.0.1:9/simple: ")
    assert len(done.stderr.splitlines()) == 1
