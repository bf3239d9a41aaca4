"""What the audio path makes of a file: a run in virtual time, and a page to see and hear it.

The run itself is pure and lies in ``media`` (`VirtualPath`); what reads and writes files,
finds engines by name and draws is here.
"""

from .inspection import Inspection, InspectionOptions, inspect_audio
from .page import audio_page, write_inspection
from .source import LONGEST_SECONDS, load_source

__all__ = [
    "LONGEST_SECONDS",
    "Inspection",
    "InspectionOptions",
    "audio_page",
    "inspect_audio",
    "load_source",
    "write_inspection",
]
