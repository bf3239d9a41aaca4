"""A page of one call: one HTML file with everything in it, that needs no network.

Waveform, turns and transcript in time with the recording, which is inside the file;
what was cut off, the tools, the latency of each answer, the quality and the facts.
"""

from .page import call_page, write_call_page
from .sound import EMBEDDED_SECONDS, Sound, recording_starts

__all__ = ["EMBEDDED_SECONDS", "Sound", "call_page", "recording_starts", "write_call_page"]
