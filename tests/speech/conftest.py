"""Where an optional engine is missing its tests are skipped; with CI set they fail."""

import os

import pytest

from trunkline.errors import MissingDependencyError
from trunkline.speech import espeak, flite, silero, sphinx

HAVE = {
    "silero": lambda: silero.SileroBank(8000),
    "sphinx": lambda: sphinx.Sphinx(),
    "flite": lambda: flite.is_installed() or _missing("flite"),
    "espeak": lambda: espeak.is_installed() or _missing("espeak-ng"),
}


def _missing(name: str) -> None:
    raise MissingDependencyError(f"{name} is not installed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*engines): skipped where one is not installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for engine in mark.args:
            try:
                HAVE[engine]()
            except MissingDependencyError as error:
                if os.environ.get("CI"):
                    pytest.fail(str(error), pytrace=False)
                pytest.skip(str(error))
