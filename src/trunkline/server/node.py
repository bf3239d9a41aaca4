"""A node: one process that takes and places calls.

The one place where the layers are joined. Everything below is handed what it
needs; nothing below reads the configuration or knows who else there is.
"""

import asyncio
import gc
import logging
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.calls.audio import AudioDefaults, AudioPath
from trunkline.calls.call import Call
from trunkline.calls.keeper import Keeper
from trunkline.calls.music import MusicSource
from trunkline.calls.quality_monitor import QualityMonitor
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Listener, OutboundPolicy, Switchboard
from trunkline.errors import ConfigError, TrunklineError, UsageError
from trunkline.media.engine import ActivityBank, Engine
from trunkline.media.errors import WavError
from trunkline.media.jitter import JitterBank, JitterSettings
from trunkline.media.lane import Lane
from trunkline.settings import Audio, Settings, Sip, is_loopback
from trunkline.settings.checks import name_server
from trunkline.speech import registry
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.rtp_socket import RtpPoller, RtpPorts
from trunkline.transports.sip import SipEndpoint, SipOptions
from trunkline.transports.sip_carrier import Listening
from trunkline.transports.sip_connection import StreamLimits
from trunkline.transports.sip_media import MediaOptions
from trunkline.transports.sip_tls import TlsProfile
from trunkline.transports.twilio import TwilioServer
from trunkline.transports.websocket_server import WebSocketServer

from .audio_codecs import audio_codecs, opus_wanted
from .control_socket import ControlSocket
from .engines import SpeechEngines
from .quality_setup import quality_monitor
from .recordings import Recordings
from .talk import About, TalkService
from .trunk_settings import beside_records
from .trunk_side import TrunkSide

__all__ = ["Node", "Ports"]

log = logging.getLogger(__name__)


GC_THRESHOLD = (20_000, 20, 50)
"""How often the cyclic collector looks for work. A tick makes thousands of small
objects that reference counting frees; Python's default of 700 would look 30 times
as often for the few cycles there are."""
MOST_FILES = 1 << 16
"""Files a node asks to be allowed to open, where the system does."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a running node listens; 0 where it does not."""

    sip: int
    """UDP."""
    streams: int
    """TCP, WebSockets in Twilio's dialect."""
    http: int = 0
    """TCP, the page to talk from a browser."""
    sip_tcp: int = 0
    """TCP, SIP."""
    sip_tls: int = 0
    """TCP, SIP over TLS."""
    sip_websocket: int = 0
    """TCP, SIP over WebSockets."""


@dataclass(slots=True)
class _Running:
    """What has to be closed."""

    media: MediaThread
    records: RecordStore | None = None
    quality: QualityMonitor | None = None
    recordings: Recordings | None = None
    sip: SipEndpoint | None = None
    streams: WebSocketServer | None = None
    talk: TalkService | None = None
    control: ControlSocket | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Node:
    """Runs a switchboard on this process's sockets.

    ``sip`` and ``streams`` may be switched off for a process that needs only
    the other. The talk page is served where ``talk`` says what is on it and the
    settings do not forbid it. ``activity`` replaces the configured voice-activity model.
    ``reread`` gives the settings as they are now, for `reload`.
    """

    def __init__(
        self,
        settings: Settings,
        board: Switchboard,
        *,
        sip: bool = True,
        streams: bool | None = None,
        talk: About | None = None,
        keep_records: bool = True,
        activity: Callable[[], ActivityBank] | None = None,
        listeners: Sequence[Listener] = (),
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.board = board
        self._with_sip = sip
        self._with_streams = settings.streams.enabled if streams is None else streams
        self._talk = talk if settings.http.enabled else None
        self._keep_records = keep_records
        self._activity = activity or self._make_activity
        self._listeners = tuple(listeners)
        self._reread = reread
        self.trunks = TrunkSide(settings, board)
        """Its trunks: their gate, health and caps."""
        self.engines = SpeechEngines(settings)
        """What agents of this node hear, think and speak with."""
        self._audio = audio_defaults(settings.audio)
        self._running: _Running | None = None
        self.ports = Ports(0, 0)
        self.ready = asyncio.Event()
        """Set once calls can come in."""

    @property
    def media(self) -> MediaThread:
        """The media thread of a running node."""
        assert self._running is not None
        return self._running.media

    @property
    def keeper(self) -> Keeper:
        """Who keeps the records and recordings of a running node."""
        return self._keeper

    @property
    def sip(self) -> SipEndpoint | None:
        """The SIP endpoint of a running node."""
        return self._running.sip if self._running else None

    async def run(self) -> None:
        """Serve until `stop`, then finish the calls there are, and close."""
        _allow_open_files()
        running = self._running = _Running(self._make_media())
        running.media.start()
        # What exists now lives as long as the process: the collector need not
        # walk it while calls are up (tens of milliseconds with models loaded).
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        try:
            await self._open(running)
            await self.board.run(self.ready, running.stop, self.settings.node.drain_seconds)
        finally:
            await self._close(running)

    def stop(self) -> None:
        """Take no new calls, finish the ones there are, end `run`."""
        if self._running is not None:
            self._running.stop.set()

    def reload(self) -> list[str]:
        """Take over what the settings now say of trunks, routing and protection.

        Calls that are up stay as they are. Returns the names of the trunks. Raises
        `ConfigError`, and then nothing has changed.
        """
        if self._reread is None:
            raise UsageError("this node has no settings to read again")
        settings = self._reread()
        names = self.trunks.reload(settings)
        log.info("read again; trunks: %s", ", ".join(names) or "none")
        return names

    def reload_soon(self) -> None:
        """`reload`; what is wrong is logged. For signals."""
        try:
            self.reload()
        except TrunklineError as error:
            log.error("not reloaded: %s", error)

    # -- opening --------------------------------------------------------------------

    def _make_media(self) -> MediaThread:
        media = self.settings.media
        jitter = JitterSettings(
            min_ms=media.jitter_min_ms, start_ms=media.jitter_start_ms, max_ms=media.jitter_max_ms
        )
        engine = Engine(
            jitter=JitterBank(8000, jitter),
            activity=self._activity,
            on_fault=_report_fault,
            quality=self.settings.quality.enabled,
        )
        # Made now: a first call must not wait for it, and what is missing shows at once.
        for path in (self._audio.agent, self._audio.relay):
            if (stages := path.stages()) is not None:
                engine.chains.keep(stages)
        for path in self._audio.trunks.values():
            path.stages()
        return MediaThread(engine, asyncio.get_running_loop())

    def _make_activity(self) -> ActivityBank:
        speech = self.settings.speech
        bank: ActivityBank = registry.create(
            "activity", speech.activity, **{"rate_hz": 8000, **speech.activity_options}
        )
        return bank

    async def _open(self, running: _Running) -> None:
        settings = self.settings
        if self._keep_records:
            running.records = RecordStore(settings.records.path, node=settings.node.name)
        running.quality = quality_monitor(settings.quality, running.records)
        running.recordings = Recordings(
            settings.recording,
            running.records,
            node=settings.node.name,
            ladder=running.quality.ladder_of,
        )
        self._keeper = running.recordings.keeper
        await asyncio.to_thread(running.recordings.start)
        media = running.media
        if self._with_sip:
            running.sip = await media.run(self._open_sip, media)
            await media.run_async(running.sip.open)
        if self._talk is not None:
            running.talk = TalkService(settings.http, media, self.board.receive, self._talk)
        self.board.connect(
            media,
            outgoing=running.sip,
            policy=self._policy(),
            listeners=(
                self._keeper,
                *([running.talk] if running.talk is not None else ()),
                *self._listeners,
            ),
            host=self.engines.host,
            voice=lambda: self.engines.tts,
            audio=self._audio,
            hold_music=await asyncio.to_thread(_music, settings.media.hold_music),
            tones_in=settings.media.inband_dtmf == "auto",
            quality=running.quality.watch,
            reserve=self.trunks.guard.reserve if self.trunks.guard is not None else None,
        )
        if running.records is not None:
            await asyncio.to_thread(self.trunks.restore_figures, running.records, time.time())
        await self._open_control(running)
        if self._with_streams:
            running.streams = await media.run_async(lambda: self._open_streams(media))
        sip_port = running.sip.port if running.sip else 0
        talk = running.talk
        if self._talk is not None and talk is not None:
            phone = self._talk.phone(settings.sip.advertised_host or settings.sip.host, sip_port)
            await media.run_async(lambda: talk.start(phone))
        self.ports = Ports(
            sip_port,
            running.streams.port if running.streams else 0,
            talk.port if talk is not None else 0,
            sip_tcp=running.sip.ports.get("TCP", 0) if running.sip else 0,
            sip_tls=running.sip.ports.get("TLS", 0) if running.sip else 0,
            sip_websocket=running.sip.ports.get("WS", 0) if running.sip else 0,
        )

    def _policy(self) -> OutboundPolicy:
        outbound = self.settings.outbound
        return OutboundPolicy(outbound.allowed_prefixes, outbound.allow_loopback)

    async def _open_control(self, running: _Running) -> None:
        settings = self.settings
        if settings.control.enabled and self._keep_records:
            commands = {
                **self.trunks.commands(),
                "reload": lambda _: self.reload(),
                "calls": lambda _: [_live(call) for call in self.board.calls.values()],
            }
            path = beside_records(settings, settings.control.path, ".sock")
            running.control = ControlSocket(path, commands)
            await running.control.start()

    def _open_sip(self, media: MediaThread) -> SipEndpoint:
        """Bind SIP and RTP; on the media thread."""
        sip, rtp = self.settings.sip, self.settings.media
        rng = random.SystemRandom()
        codecs = audio_codecs(rtp.codecs, media.engine.rate_hz, rtp.opus)
        poller = RtpPoller(media.loop)
        assert self._running is not None
        quality = self._running.quality
        endpoint = SipEndpoint(
            SipOptions(
                host=sip.host,
                port=sip.port,
                listening=listening(sip),
                tls=TlsProfile(
                    verify=sip.tls_verify,
                    ca=sip.tls_ca,
                    certificate=sip.tls_certificate,
                    key=sip.tls_key,
                ),
                advertised_host=sip.advertised_host,
                media_host=rtp.host if not is_loopback(rtp.host) else sip.host,
                user_agent=sip.user_agent,
                accounts={name: secret.reveal() for name, secret in sip.accounts.items()},
                realm=sip.realm,
                allowed=sip.allowed_addresses,
                codecs=tuple(codec.upper() for codec in rtp.codecs),
                opus=opus_wanted(rtp.opus),
                extended_reports=self.settings.quality.extended_reports,
                t1_ms=sip.t1_ms,
                timeout_seconds=rtp.timeout_seconds,
                far_buffer_ms=rtp.far_buffer_ms,
                username=self.settings.outbound.username,
                password=self.settings.outbound.password.reveal(),
                media=MediaOptions(
                    srtp=rtp.srtp,
                    rtcp_mux=rtp.rtcp_mux,
                    comfort_noise=rtp.comfort_noise,
                    keep_alive_seconds=rtp.keep_alive_seconds,
                    allowed=rtp.allowed_networks,
                    denied=rtp.denied_networks,
                ),
                reliable=sip.reliable,
                session_expires_seconds=sip.session_expires_seconds,
                min_se_seconds=sip.min_se_seconds,
            ),
            loop=media.loop,
            engine=media.engine,
            ports=RtpPorts(rtp.host, rtp.first_port, rtp.last_port, rng, most=rtp.max_calls),
            poller=poller,
            receiver=self.board.receive,
            codecs=codecs,
            gate=self.trunks.open_gate(media, rng.randbytes(32)),
            rng=rng,
        )
        self.trunks.open_probes(media, endpoint)

        if self.settings.outbound.follow_redirects:
            endpoint.may_redirect = self._policy().allows
        if quality is not None:
            quality.attach(endpoint)

        async def close_poller() -> None:
            poller.close()

        media.on_close(close_poller)
        media.on_close(endpoint.close)
        return endpoint

    async def _open_streams(self, media: MediaThread) -> WebSocketServer:
        """Bind the WebSocket port; on the media loop."""
        streams = self.settings.streams
        server = WebSocketServer(streams.host, streams.port, setting="streams.port")
        TwilioServer(
            server,
            media,
            self.board.receive,
            path=streams.path,
            auth_token=streams.twilio_auth_token.reveal(),
            public_url=streams.public_url,
        )
        await server.start()
        media.on_close(server.close)
        return server

    # -- closing -------------------------------------------------------------------------

    async def _close(self, running: _Running) -> None:
        if running.control is not None:
            await running.control.close()
        await running.media.stop()
        await asyncio.to_thread(self.trunks.close)
        await self.engines.aclose()
        if running.quality is not None:
            await running.quality.aclose()
        if running.recordings is not None:
            await asyncio.to_thread(running.recordings.close)
        if running.records is not None:
            await asyncio.to_thread(running.records.close)
        gc.unfreeze()


def listening(sip: Sip) -> Listening:
    """What the settings say of SIP's sockets."""
    return Listening(
        host=sip.host,
        port=sip.port,
        tcp=sip.tcp,
        tcp_port=sip.tcp_port,
        tls_port=sip.tls_port,
        tls_certificate=sip.tls_certificate,
        tls_key=sip.tls_key,
        tls_ca=sip.tls_ca,
        tls_verify_clients=sip.tls_verify_clients,
        websocket=sip.websocket,
        websocket_port=sip.websocket_port,
        websocket_origins=sip.websocket_origins,
        limits=StreamLimits(
            connections=sip.max_connections,
            connections_per_address=sip.max_connections_per_address,
            idle_seconds=sip.idle_seconds,
            ping_seconds=sip.ping_seconds,
        ),
        name_servers=[name_server(written) for written in sip.name_servers],
    )


def _live(call: Call) -> dict[str, object]:
    """A live call as the control socket shows it."""
    return {
        "id": call.id,
        "direction": call.direction,
        "caller": call.caller,
        "callee": call.callee,
        "trunk": call.trunk,
        "state": call.state.value,
        "seconds": round(call.media.now() - call.started_monotonic, 1),
    }


def audio_defaults(audio: Audio) -> AudioDefaults:
    """What the settings say is done with the audio of calls."""
    strength = audio.noise_reduction_strength
    return AudioDefaults(
        agent=AudioPath(
            audio.agent_echo, audio.agent_noise, strength, audio.agent_recogniser_noise
        ),
        relay=AudioPath(audio.relay_echo, audio.relay_noise, strength, False),
        trunks={
            name: AudioPath(trunk.echo, trunk.noise, trunk.strength, trunk.recogniser_noise)
            for name, trunk in audio.trunks.items()
        },
    )


def _music(path: str) -> MusicSource:
    """What whoever is held hears; raises `ConfigError` for a file that cannot be played."""
    source = MusicSource(Path(path).expanduser() if path else "")
    try:
        source.check()
    except (OSError, WavError) as error:
        raise ConfigError(f"media.hold_music cannot be played: {error}") from error
    return source


def _allow_open_files() -> None:
    """Let this process open as many files as it may: a call has up to five sockets and files.

    The usual limit of 1,024 would end at some 200 calls. Programs it starts inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _report_fault(lane: Lane, error: Exception) -> None:
    log.error("a bug in the media side of leg %s", lane.id, exc_info=error)
