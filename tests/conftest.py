"""What all tests share."""

import os
import re
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# No example is timed: these tests run on machines that are busy with other things.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

MISSING = re.compile(r"not installed|could not import|nothing here can speak|finds no data", re.I)
"""Reasons of skips that would not be there on a machine with everything installed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a test that something is missing for has failed."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if MISSING.search(reason):
            report.outcome = "failed"
            report.longrepr = f"with CI=true every test has to run: {reason}"
    return report
