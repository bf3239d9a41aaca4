"""TLS for SIP: our certificate, whom we trust, and what a trunk has of its own.

Contexts are made when they are first needed, not on the media thread's loop: reading the
system's authorities takes 28 ms. What the node shows to those who connect is read again when
its files change, so that a renewed certificate needs no restart.
"""

import logging
import os
import ssl
from dataclasses import dataclass

from trunkline.errors import UsageError

__all__ = ["ServerTls", "TlsProfile", "client_context"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """How connections out are made over TLS: the node's own, or a trunk's."""

    verify: bool = True
    """Whether the server has to prove who it is. Without it anybody in between can listen."""
    ca: str = ""
    """The file of the authorities that are trusted, and no others; empty: the system's."""
    certificate: str = ""
    """The file of the certificate that we show, with its chain; empty: none."""
    key: str = ""
    """The file of its key; empty: it is in the certificate's file."""
    server_name: str = ""
    """Whose certificate is expected, where it is not the host that was looked up."""


def client_context(profile: TlsProfile) -> ssl.SSLContext:
    """What connections out use; takes tens of milliseconds.

    Raises UsageError for files that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=profile.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not profile.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if profile.certificate:
            context.load_cert_chain(profile.certificate, profile.key or None, _no_password)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"TLS cannot be used: {error}") from error
    return context


class ServerTls:
    """What those who connect to us see; follows its files."""

    def __init__(
        self, certificate: str, key: str = "", *, ca: str = "", verify_clients: bool = False
    ) -> None:
        self._certificate, self._key = certificate, key
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._context.load_cert_chain(certificate, key or None, _no_password)
            if verify_clients:
                self._context.verify_mode = ssl.CERT_REQUIRED
                if ca:
                    self._context.load_verify_locations(ca)
                else:
                    self._context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"SIP over TLS: {certificate} cannot be used: {error}") from error
        self._read = self._stamps()

    def context(self) -> ssl.SSLContext:
        """For the next connection; with the certificate as it is now.

        A file that cannot be used (half written, the key of another) leaves the old one.
        """
        stamps = self._stamps()
        if stamps != self._read:
            self._read = stamps
            try:
                self._check()
                self._context.load_cert_chain(self._certificate, self._key or None, _no_password)
                log.info("SIP over TLS: %s was read again", self._certificate)
            except (OSError, ssl.SSLError) as error:
                log.warning("SIP over TLS: %s stays as it was: %s", self._certificate, error)
        return self._context

    def _check(self) -> None:
        """Try the files on a context that nobody uses."""
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trial.load_cert_chain(self._certificate, self._key or None, _no_password)

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        files = [path for path in (self._certificate, self._key) if path]
        return tuple(_stamp(path) for path in files)


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def _no_password() -> bytes:
    """A key that asks for a password is refused, and not asked for on the terminal."""
    return b""
