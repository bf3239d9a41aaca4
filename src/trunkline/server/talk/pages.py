"""The talk page's files, as answers to plain HTTP requests."""

from importlib.resources import files

from trunkline.transports.websocket_server import Reply

__all__ = ["static_pages"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Nothing but this page's own files runs, is loaded or is connected to.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def static_pages(prefix: str = "/") -> dict[str, Reply]:
    """Every file by its path, ``index.html`` also as ``prefix``. Reads them all now."""
    pages: dict[str, Reply] = {}
    for file in files(__package__).joinpath("static").iterdir():
        kind = file.name.rpartition(".")[2]
        if kind in _TYPES:
            reply = Reply(200, file.read_bytes(), _TYPES[kind], _HEADERS)
            pages[prefix + file.name] = reply
    pages[prefix] = pages[prefix + "index.html"]
    return pages
