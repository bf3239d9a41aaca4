"""Trunkline: an open, self-hosted switchboard for voice AI."""

__version__ = "0.1.0"
