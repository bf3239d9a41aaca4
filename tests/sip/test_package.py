"""The package's surface, and what importing it costs."""

import subprocess
import sys

import trunkline.sip


def test_every_public_name_is_there_and_none_twice() -> None:
    names = trunkline.sip.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(trunkline.sip, name) is not None


def test_the_package_needs_only_the_standard_library() -> None:
    code = "import sys, trunkline.sip; print([m for m in ('numpy', 'asyncio') if m in sys.modules])"
    path = [part for part in sys.path if part]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"
