"""What single values cannot show: settings that contradict or expose.

Everything listens on loopback until the configuration says otherwise, and a
wider address is refused as long as anyone at all could use it.
"""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from trunkline.errors import ConfigError

from .tree import Settings
from .trunks import TrunkSettings

__all__ = ["check", "is_loopback", "name_server", "problems"]


def check(settings: Settings) -> None:
    """Refuse settings that contradict each other or expose the node.

    Raises:
        ConfigError: with every problem, one a line.
    """
    found = list(problems(settings))
    if found:
        raise ConfigError("\n".join(found))


def problems(settings: Settings) -> Iterator[str]:
    """Everything wrong with these settings, each with what to do about it."""
    yield from _exposed(settings)
    yield from _media(settings)
    yield from _audio(settings)
    yield from _trunks(settings)
    yield from _streams(settings)
    yield from _addresses(settings)
    yield from _tls(settings)
    yield from _name_servers(settings)
    yield from _keys(settings)
    yield from _quality(settings)
    yield from _recording(settings)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; names other than localhost are not it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _exposed(settings: Settings) -> Iterator[str]:
    sip, streams, http = settings.sip, settings.streams, settings.http
    named = sip.accounts or sip.allowed_addresses or any(map(_knows, settings.trunks.values()))
    if not is_loopback(sip.host) and not named:
        yield (
            f"sip.host is {sip.host}: anyone who reaches it could call. Set sip.allowed_addresses"
            " (your trunk's or PBX's), sip.accounts (user = password) or a trunk's gateways, or"
            " keep 127.0.0.1"
        )
    if streams.enabled and not is_loopback(streams.host) and not streams.twilio_auth_token:
        yield (
            f"streams.host is {streams.host}: anyone who reaches it could open a stream."
            " Set streams.twilio_auth_token, or keep 127.0.0.1"
        )
    if http.enabled and not is_loopback(http.host) and not http.token:
        yield (
            f"http.host is {http.host}: anyone who reaches it could use it."
            " Set http.token, or keep 127.0.0.1"
        )


def _knows(trunk: TrunkSettings) -> bool:
    """Whether a trunk says who may call in over it."""
    return bool(trunk.gateways or trunk.addresses or trunk.accounts)


def _media(settings: Settings) -> Iterator[str]:
    media = settings.media
    if not is_loopback(settings.sip.host) and is_loopback(media.host):
        yield (
            f"sip.host is {settings.sip.host} but media.host is {media.host}: callers from outside"
            " would hear nothing. Set media.host too"
        )
    if media.first_port % 2:
        yield f"media.first_port is {media.first_port}: RTP takes even ports"
    if media.last_port < media.first_port + 1:
        yield f"media.last_port is {media.last_port}: less than two ports from media.first_port"
    pairs = len(range(media.first_port + media.first_port % 2, media.last_port, 2))
    if media.max_calls > pairs:
        yield (
            f"media.max_calls is {media.max_calls}, but media.first_port to media.last_port"
            f" ({media.first_port} to {media.last_port}) hold {pairs} calls of two ports each."
            " Widen them"
        )
    for name in ("allowed_networks", "denied_networks"):
        for text in getattr(media, name):
            try:
                ip_network(text, strict=False)
            except ValueError:
                yield f"media.{name}: {text!r} is no network, as in 203.0.113.0/24"
    if not media.jitter_min_ms <= media.jitter_start_ms <= media.jitter_max_ms:
        yield "media.jitter_start_ms must lie between jitter_min_ms and jitter_max_ms"
    if not media.codecs:
        yield "media.codecs is empty: a call needs one"


def _audio(settings: Settings) -> Iterator[str]:
    audio = settings.audio
    if audio.audio_chunk_duration_ms != 20:
        yield (
            f"audio.audio_chunk_duration_ms is {audio.audio_chunk_duration_ms}: everything runs"
            " in chunks of 20 ms, whatever the packets' length. Set 20"
        )
    if not (
        audio.jitter_buffer_min_ms <= audio.jitter_buffer_target_ms <= audio.jitter_buffer_max_ms
    ):
        yield (
            f"audio.jitter_buffer_target_ms is {audio.jitter_buffer_target_ms}: it must lie"
            f" between jitter_buffer_min_ms ({audio.jitter_buffer_min_ms})"
            f" and jitter_buffer_max_ms ({audio.jitter_buffer_max_ms})"
        )


def _trunks(settings: Settings) -> Iterator[str]:
    accounts = {*settings.sip.accounts, settings.outbound.username} - {""}
    for name, trunk in settings.trunks.items():
        accounts |= {*trunk.accounts, trunk.username} - {""}
        for codec in trunk.codecs:
            if codec.lower() not in settings.media.codecs:
                known = ", ".join(settings.media.codecs)
                yield f"trunks.{name}.codecs names {codec}; media.codecs has {known}"
    for name in settings.audio.trunks:
        numeric = "/" in name or not name.strip("0123456789.")
        if name in settings.trunks or name in accounts or ("." in name and not numeric):
            continue
        try:
            ip_network(name)
        except ValueError as error:
            advice = (
                "name a trunk, or write an account of sip.accounts, an address, or a network"
                " (203.0.113.0/24)"
            )
            yield f'audio.trunks."{name}": {error}; {advice}'


def _streams(settings: Settings) -> Iterator[str]:
    streams = settings.streams
    if not streams.path.startswith("/"):
        yield f"streams.path is {streams.path!r}: it begins with a slash"
    if streams.public_url and not streams.public_url.startswith(("ws://", "wss://")):
        yield f"streams.public_url is {streams.public_url!r}: it begins with wss:// (or ws://)"


def _addresses(settings: Settings) -> Iterator[str]:
    for key, addresses in (
        ("sip.allowed_addresses", settings.sip.allowed_addresses),
        ("protection.allowed_addresses", settings.protection.allowed_addresses),
    ):
        for written in addresses:
            try:
                ip_network(written)
            except ValueError as error:
                yield f"{key}: {error}"


def _tls(settings: Settings) -> Iterator[str]:
    sip = settings.sip
    if sip.tls_key and not sip.tls_certificate:
        yield "sip.tls_key is set but sip.tls_certificate is not: set the certificate's file too"
    if sip.tls_verify_clients and not sip.tls_certificate:
        yield "sip.tls_verify_clients is set, but without sip.tls_certificate nobody can connect"
    if sip.tls_certificate and sip.tls_port and sip.tls_port == (sip.tcp_port or sip.port):
        yield f"sip.tls_port is {sip.tls_port}, which is TCP's: TLS needs a port of its own"
    if sip.websocket and not (
        sip.accounts or any(one.accounts for one in settings.trunks.values())
    ):
        yield (
            "sip.websocket is set without sip.accounts (user = password): a WebSocket's address"
            " may be a proxy's, so who opens one has to show a password"
        )


def _name_servers(settings: Settings) -> Iterator[str]:
    for written in settings.sip.name_servers:
        try:
            name_server(written)
        except ValueError:
            yield f"sip.name_servers: {written!r} is no address (192.0.2.53, [2001:db8::53]:53)"


def name_server(written: str) -> tuple[str, int]:
    """Address and port of a name server; raises ValueError."""
    if written.startswith("[") and "]" not in written:
        raise ValueError(written)
    host, bracket, rest = written.removeprefix("[").partition("]")
    if not bracket and host.count(":") == 1:
        host, _, rest = host.partition(":")
    port = int(rest.removeprefix(":") or 53)
    if not 0 < port < 65536:
        raise ValueError(written)
    return str(ip_address(host)), port


def _quality(settings: Settings) -> Iterator[str]:
    quality = settings.quality
    if quality.good_mos < quality.poor_mos:
        yield "quality.good_mos is below quality.poor_mos: a call would be both"
    transport, _, place = quality.hep.partition(":")
    host, _, port = place.rpartition(":")
    valid = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if quality.hep and (transport not in ("udp", "tcp") or not host or not valid):
        yield f"quality.hep is {quality.hep!r}: write udp:host:port or tcp:host:port"


def _keys(settings: Settings) -> Iterator[str]:
    """Keys where they would be shown: options are, secrets are not."""
    speech = settings.speech
    for option in ("activity_options", "stt_options", "tts_options"):
        if "api_key" in getattr(speech, option):
            yield f"speech.{option}.api_key would be shown: put the key in speech.stt_api_key"


def _recording(settings: Settings) -> Iterator[str]:
    recording, s3 = settings.recording, settings.recording.s3
    if s3.endpoint_url and not s3.endpoint_url.startswith(("http://", "https://")):
        yield f"recording.s3.endpoint_url is {s3.endpoint_url!r}: it begins with https:// or http://"
    if not s3.bucket and (s3.endpoint_url or s3.access_key_id or s3.prefix):
        yield "recording.s3 says where, but not into which bucket: set recording.s3.bucket"
    if bool(s3.access_key_id) is not bool(s3.secret_access_key):
        yield "recording.s3.access_key_id and recording.s3.secret_access_key go together"
    if s3.kms_key_id and s3.encryption != "aws:kms":
        yield 'recording.s3.kms_key_id is for recording.s3.encryption = "aws:kms"'
    if any(key.startswith("private:") for key in recording.encryption_recipients):
        yield (
            "recording.encryption_recipients has a private key: it would be shown."
            " Write the public one there"
        )
    if recording.encryption_key_id and not recording.encryption_key:
        yield "recording.encryption_key_id names a key, but recording.encryption_key has none"
