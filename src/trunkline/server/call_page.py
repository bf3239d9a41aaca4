"""A self-contained HTML page of one call."""

from pathlib import Path

from trunkline.calls.record import CallRecord

__all__ = ["write_call_page"]


def write_call_page(record: CallRecord, path: Path) -> None:
    """Write the page of a call."""
    path.write_text(f"<title>{record.id}</title>")
