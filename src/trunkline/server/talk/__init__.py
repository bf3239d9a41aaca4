"""The talk page: static files, and what an agent's events look like on it."""

from .messages import page_messages
from .pages import static_pages
from .service import About, TalkService

__all__ = ["About", "TalkService", "page_messages", "static_pages"]
