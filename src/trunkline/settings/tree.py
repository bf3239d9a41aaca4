"""Every setting there is, with its default, its range and what it is for.

The annotated sample file (`trunkline config sample`) is generated from this
module: the docstring of a section stands above it, the docstring of a field
above its line. Frozen; built once at the edge and passed down in parts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .quality import Quality
from .secret import Secret
from .trunks import Control, Protection, Routing, TrunkSettings

__all__ = [
    "CHAIN_NAMES",
    "LLM",
    "S3",
    "Agent",
    "Audio",
    "Http",
    "Log",
    "Media",
    "Node",
    "Opus",
    "Outbound",
    "Quality",
    "Recording",
    "Records",
    "Settings",
    "Sip",
    "Speech",
    "Streams",
    "TrunkAudio",
    "Turns",
]

Port = Annotated[int, Meta(ge=0, le=65535)]
"""A UDP or TCP port; 0 lets the system choose."""

Milliseconds = Annotated[int, Meta(ge=0, le=60_000)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]

_DATA = Path("~/.local/share/trunkline")


class Node(Struct, frozen=True, kw_only=True):
    """This process as a whole."""

    name: str = ""
    """What the node is called in records and logs; empty is the host's name."""
    drain_seconds: Seconds = 30.0
    """How long a stopping node lets its calls finish before it hangs up."""


class Sip(Struct, frozen=True, kw_only=True):
    """SIP over UDP, TCP and TLS: where phones, PBXs and trunks reach this node.

    Any address wider than loopback needs accounts or allowed_addresses.
    """

    host: str = "127.0.0.1"
    """The address to listen on. 0.0.0.0 is every interface."""
    port: Port = 5060
    """The UDP port to listen on; 0 lets the system choose."""
    tcp: bool = True
    """Take connections over TCP, and send what is too long for a datagram over it."""
    tcp_port: Port = 0
    """The TCP port to listen on; 0 is the number of `port`."""
    tls_port: Port = 5061
    """The port for TLS; it is open only with `tls_certificate`. 0 lets the system choose."""
    tls_certificate: str = ""
    """The file of this node's certificate, with its chain (PEM): shown to who connects, and to
    servers that ask. It is read again when it changes."""
    tls_key: str = ""
    """The file of the certificate's key. Empty: it is in the same file."""
    tls_ca: str = ""
    """The file of the authorities whose certificates count, in both directions. Empty: the
    system's."""
    tls_verify_clients: bool = False
    """Take TLS connections only from who shows a certificate of such an authority."""
    tls_verify: bool = True
    """Call over TLS only who shows a certificate for the name that was called. Without it
    anybody in between can listen."""
    websocket: bool = False
    """Take SIP over WebSockets (RFC 7118), from who has one of the accounts; over TLS with
    `tls_certificate`. Behind a proxy that ends TLS leave that to the proxy."""
    websocket_port: Port = 5066
    """The port for WebSockets; 0 lets the system choose."""
    websocket_origins: tuple[str, ...] = ()
    """Web sites whose pages may open one, as in ["https://phone.example.com"]."""
    max_connections: Annotated[int, Meta(ge=1, le=60_000)] = 4000
    """Connections over TCP, TLS and WebSockets, in all."""
    max_connections_per_address: Annotated[int, Meta(ge=1, le=60_000)] = 1000
    """How many of them one address may open."""
    idle_seconds: Seconds = 900.0
    """A connection without a message for this long, and without a call, is closed; one that this
    node opened, where a registration may live, after four times as long."""
    ping_seconds: Seconds = 90.0
    """How often a connection that this node opened is kept alive, through firewalls and NAT,
    when nothing comes on it. 0: never."""
    name_servers: tuple[str, ...] = ()
    """Name servers that know where calls go (NAPTR, SRV, A and AAAA records), as in
    ["192.0.2.53", "127.0.0.1:5353"]. Empty: the system's."""
    advertised_host: str = ""
    """What to write in Contact, Via and SDP where it is not `host`: the public address
    of a machine behind NAT. Empty is the address listened on, or what the far end sees."""
    allowed_addresses: tuple[str, ...] = ()
    """Who may call in without a password: addresses or networks of your trunk or PBX, as in
    ["203.0.113.10", "198.51.100.0/24"]. With neither these nor accounts, everyone may."""
    accounts: Mapping[str, Secret] = field(default_factory=dict)
    """Who may call in with digest authentication: user = password. A password may be
    "file:/run/secrets/alice" or "env:ALICE_PASSWORD"."""
    realm: str = "trunkline"
    """The realm of the digest challenge."""
    user_agent: str = "Trunkline"
    """What the User-Agent and Server headers say."""
    t1_ms: Annotated[int, Meta(ge=10, le=10_000)] = 500
    """RFC 3261's T1, the estimate of a round trip that retransmissions are timed by."""
    reliable: Literal["off", "supported", "required"] = "supported"
    """Provisional responses that are acknowledged (RFC 3262, 100rel): "supported" with who
    knows them, "required" with nobody else, "off" never."""
    session_expires_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 0
    """Session timers (RFC 4028) to ask for: a call whose far end has gone is noticed after so
    long at most. 0 asks for none, and keeps those that a far end asks for."""
    min_se_seconds: Annotated[int, Meta(ge=2, le=3_600)] = 90
    """The shortest session timer a far end may ask for. RFC 4028 has no less than 90."""


class Opus(Struct, frozen=True, kw_only=True):
    """How Opus is sent, where `media.codecs` has it and a far end takes it.

    A far end may ask for less in its session description (RFC 7587), never for more.
    """

    library: str = ""
    """Path of the libopus to use. Empty takes PyAV's, if that is installed, else the system's."""
    bitrate: Annotated[int, Meta(ge=6000, le=510_000)] = 24_000
    """Bits a second on average, without packet headers. A telephone voice has nothing left to
    gain above the default, and is still good at 12000."""
    complexity: Annotated[int, Meta(ge=1, le=10)] = 3
    """What the encoder may cost: of a telephone's band 25 µs a frame of 20 ms at 1, 50 at 3, 60
    at 5, 70 from 8 on, and each step gains 0.01 of PESQ. At 1 there are few copies."""
    fec: Literal["auto", "on", "off"] = "auto"
    """Whether packets carry a coarse copy of the one before, against loss: "auto" makes as much
    of it as the loss that the far end reports asks for, "on" expects 10 percent always."""
    dtx: bool = False
    """Let either end send next to nothing while nobody speaks; what is heard then is comfort
    noise. Saves most of the bandwidth of a silent direction."""


class Media(Struct, frozen=True, kw_only=True):
    """RTP: ports, the jitter buffer, and what is known of the far end."""

    host: str = "127.0.0.1"
    """The address RTP is received on; wider when `sip.host` is."""
    first_port: Port = 10_000
    """The first port for RTP (even); RTCP is on the next one."""
    last_port: Port = 19_999
    """The last port for RTP; each call needs two."""
    codecs: tuple[Literal["pcmu", "pcma", "opus", "g722", "l16", "l16/8000"], ...] = (
        "pcmu",
        "pcma",
    )
    """Codecs offered and accepted, the preferred first; "opus" needs libopus, "l16" is at 16 kHz.
    Applications have 8 kHz whatever the codec."""
    jitter_min_ms: Annotated[int, Meta(ge=20, le=280)] = 40
    """The least delay the jitter buffer aims at: on a good network, two packets."""
    jitter_start_ms: Annotated[int, Meta(ge=20, le=280)] = 60
    """The delay a call begins with, before anything is known of its network."""
    jitter_max_ms: Annotated[int, Meta(ge=20, le=280)] = 200
    """The most delay the jitter buffer grows to; later packets are lost packets."""
    far_buffer_ms: Annotated[int, Meta(ge=0, le=1000)] = 60
    """How much audio the far end is taken to hold before it plays it; what a caller has
    heard at an interruption is what was sent less half the round trip and this."""
    timeout_seconds: Seconds = 30.0
    """Hang up when no packet has come for this long; 0 never does. A held call waits."""
    max_calls: Annotated[int, Meta(ge=0, le=32_000)] = 0
    """How many calls by SIP there may be at once; more get 503. The ports must hold them. 0 is as
    many as the ports do."""
    srtp: Literal["off", "optional", "required"] = "off"
    """Encryption of calls in, and of calls out that name no trunk, by keys in SDP (SDES):
    "optional" takes it where it is offered and offers it itself in RTP/AVP, "required" refuses
    anything else with 488. Needs the package pylibsrtp. Keys are as secret as the signalling is:
    use it over TLS."""
    rtcp_mux: Literal["off", "accept", "offer"] = "accept"
    """Reports on the port of the audio (RFC 5761) instead of the next one."""
    comfort_noise: bool = False
    """Offer comfort noise (RFC 3389), and send it to who takes it in place of silence. Theirs
    is heard always."""
    keep_alive_seconds: Seconds = 0.0
    """Send a packet that says nothing so often while a caller holds us, so that the caller's NAT
    does not forget us; 15 is usual. 0 sends nothing."""
    allowed_networks: tuple[str, ...] = ()
    """The only networks audio may be sent to, as in ["203.0.113.0/24"]. Empty is every public
    address, and private ones for calls whose signalling comes from one; on a node that listens on
    loopback nothing but loopback, whatever this says."""
    denied_networks: tuple[str, ...] = ()
    """Networks audio may never be sent to."""
    hold_music: str = ""
    """A WAV file that whoever is held with music hears, over and over; empty is a tune of our
    own making."""
    inband_dtmf: Literal["off", "auto"] = "off"
    """Whether keys are also looked for as tones in the audio: "auto" of far ends that do not
    take telephone events (RFC 4733). It costs no other call anything."""
    opus: Opus = Opus()


Echo = Literal["kalman", "nlms", "speex", "aec3", "off"]
"""A canceller: the first two are ours, the next two need their libraries."""
Noise = Literal["logmmse", "spectral", "rnnoise", "webrtc", "noisereduce", "off"]
"""A suppressor: the first two are ours, the others need their libraries."""


class TrunkAudio(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with the audio of calls from and to one trunk; what is left out is not."""

    echo: Echo | None = None
    """Which canceller, instead of agent_echo and relay_echo."""
    noise: Noise | None = None
    """Which suppressor, instead of agent_noise and relay_noise."""
    strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    """How much of the noise goes, instead of noise_reduction_strength."""
    recogniser_noise: bool | None = None
    """Instead of agent_recogniser_noise."""


class Audio(Struct, frozen=True, kw_only=True):
    """What is done with the audio of calls, after the jitter buffer of [media].

    agent_* is for calls with an agent on them, relay_* for all others (a stream to a bot, an
    echo, a recording); what a page in a browser sends is left alone, the browser has done it.
    Routes and calls say otherwise in Python (AudioPath). The other settings are those of the
    chain for your own pipelines (`trunkline.media.Chain`), and only noise_reduction_strength
    counts for calls too. Each of those is also read from the environment by its name in
    capitals, as in ENABLE_JITTER_BUFFER=false; TRUNKLINE_AUDIO__ENABLE_JITTER_BUFFER goes
    before that.
    """

    agent_echo: Echo = "kalman"
    """Which canceller keeps an agent from hearing itself. Adds 10 ms."""
    agent_noise: Noise = "off"
    """Which suppressor takes steady noise out, for recordings and people. Adds 10 ms."""
    agent_recogniser_noise: bool = False
    """Whether the agent's recogniser hears audio without noise too. "sphinx" understands more of
    a noisy line so; recognisers that were trained on noise mostly lose words."""
    relay_echo: Echo = "off"
    """Which canceller calls without an agent have."""
    relay_noise: Noise = "off"
    """Which suppressor they have."""
    enable_echo_cancellation: bool = True
    """Take the echo of what was sent out of what comes."""
    enable_noise_reduction: bool = True
    """Take the line's noise out."""
    enable_jitter_buffer: bool = True
    """Put packets in order and play them out at an even pace."""
    audio_chunk_duration_ms: Annotated[int, Meta(ge=1, le=1000)] = 20
    """What is processed and read at once. Everything in here runs in 20 ms; packets of other
    lengths are cut to that as they come in."""
    jitter_buffer_target_ms: Annotated[int, Meta(ge=20, le=280)] = 80
    """The delay a call begins with; it then follows the network."""
    jitter_buffer_min_ms: Annotated[int, Meta(ge=20, le=280)] = 40
    """The least delay aimed at."""
    jitter_buffer_max_ms: Annotated[int, Meta(ge=20, le=280)] = 200
    """The most delay aimed at; later packets are lost packets."""
    noise_reduction_strength: Annotated[float, Meta(ge=0, le=1)] = 0.8
    """How much of the noise is taken out: 0 is nothing, 1 is 20 dB."""
    echo_filter_length: Annotated[int, Meta(ge=16, le=8192)] = 1024
    """Taps of the echo canceller: how long an echo is cancelled from where it begins on. The
    default canceller is never shorter than 200 ms, whatever this says."""
    audio_buffer_duration_ms: Annotated[int, Meta(ge=20, le=60_000)] = 500
    """The most audio that waits to be read, in either direction; then the oldest goes."""
    max_audio_latency_ms: Annotated[int, Meta(ge=20, le=60_000)] = 200
    """Latency beyond this is reported as unhealthy."""
    trunks: Mapping[str, TrunkAudio] = field(default_factory=dict)
    """Trunks whose calls are treated otherwise, by an account (of sip.accounts, or
    outbound.username), an address, a network, or the host that is called."""

    @property
    def chain(self) -> dict[str, Any]:
        """The settings of `trunkline.media.ChainSettings`, by their names."""
        return {name: getattr(self, name) for name in CHAIN_NAMES}


CHAIN_NAMES = tuple(
    name
    for name in Audio.__struct_fields__
    if not name.startswith(("agent_", "relay_")) and name != "trunks"
)
"""Those of [audio] that audio pipelines have always had, under the same names."""


class Streams(Struct, frozen=True, kw_only=True):
    """Media streams over WebSockets in Twilio's dialect.

    An address wider than loopback needs twilio_auth_token.
    """

    enabled: bool = True
    """Listen for media streams at all."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8081
    """The TCP port to listen on; 0 lets the system choose."""
    path: str = "/streams/twilio"
    """The path streams connect to; begins with a slash."""
    twilio_auth_token: Secret = Secret()
    """The auth token of your Twilio account, which signs its requests (X-Twilio-Signature).
    Best as "file:..." or "env:TWILIO_AUTH_TOKEN"."""
    public_url: str = ""
    """The URL Twilio was given, as in "wss://voice.example.com/streams/twilio". The signature
    is over it, so a node behind a proxy must know it. Empty is made of the Host header."""


class Http(Struct, frozen=True, kw_only=True):
    """The HTTP server: the page to talk to the agent from a browser.

    An address wider than loopback needs a token.
    """

    enabled: bool = True
    """Serve web pages at all."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8080
    """The TCP port to listen on; 0 lets the system choose."""
    token: Secret = Secret()
    """What a client must send as "Authorization: Bearer ...", and a page as ?token= or in the
    field it shows; best as "file:..." or "env:..."."""
    origins: tuple[str, ...] = ()
    """Where pages may come from besides this machine, as in ["https://talk.example.com"]: a
    proxy before the node. Browsers let a page use a microphone on localhost or over HTTPS."""


class Turns(Struct, frozen=True, kw_only=True):
    """Who speaks when: the end of a turn, and barge-in."""

    silence_ms: Annotated[int, Meta(ge=100, le=10_000)] = 600
    """Silence after speech that ends the caller's turn. Less answers sooner and cuts in
    more often."""
    speech_ms: Annotated[int, Meta(ge=20, le=2000)] = 100
    """Speech this long is a turn; shorter sounds are clicks and breath."""
    barge_in: bool = True
    """Whether the caller may interrupt the agent."""
    barge_in_ms: Annotated[int, Meta(ge=20, le=5000)] = 240
    """Speech over the agent this long stops it. More lets "mhm" pass, less reacts sooner."""
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Speech probability, from the voice-activity model, that counts as speech."""
    max_turn_ms: Annotated[int, Meta(ge=1000, le=600_000)] = 30_000
    """A turn longer than this is ended and answered."""
    idle_ms: Annotated[int, Meta(ge=0, le=600_000)] = 15_000
    """The agent speaks up after this much silence from both; 0 never does."""


class Agent(Struct, frozen=True, kw_only=True):
    """The agent that answers where no application says otherwise."""

    instructions: str = "You answer the telephone. Be brief: one or two sentences."
    """What the language model is told about its work."""
    greeting: str = "Hello, what can I do for you?"
    """What is said first; empty lets the caller begin. The scripted dialogue has its own."""
    turns: Turns = Turns()


class Speech(Struct, frozen=True, kw_only=True):
    """The models that hear and speak, by the names they are registered under."""

    activity: str = "best"
    """Voice activity: "silero", "gated" (Silero, spared the silent calls), "subband", or
    "best" of what is installed: Silero, else sub-bands."""
    stt: str = "sphinx"
    """Speech to text: "sphinx" hears a small language well and takes dictation badly;
    "openai" is any server with OpenAI's /audio/transcriptions."""
    tts: str = "best"
    """Text to speech: "flite", "espeak", or "best" of what is installed."""
    phrases: tuple[str, ...] = ()
    """What callers may say where the dialogue does not tell, for recognisers that take
    grammars: ["yes | no", "[please] call (me | us) back"]; [x] may be left out. Empty is
    anything."""
    stt_api_key: Secret = Secret()
    """Sent as a bearer token to a recogniser over the network; best as "env:..." or "file:..."."""
    activity_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Options of the voice-activity model, each as option = value."""
    stt_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Options of the speech-to-text engine: for "openai" url, model, language."""
    tts_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Options of the text-to-speech engine."""


class LLM(Struct, frozen=True, kw_only=True):
    """The language model: any OpenAI-compatible endpoint, or the scripted dialogue."""

    url: str = ""
    """The base URL, as in "http://127.0.0.1:11434/v1". Empty is the scripted dialogue."""
    model: str = ""
    """The model's name, as the endpoint knows it. Empty is the first one it lists."""
    api_key: Secret = Secret()
    """Sent as a bearer token; best as "env:OPENAI_API_KEY" or "file:..."."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=600)] = 15.0
    """Give up on a reply that has not begun, or has stalled, for this long."""


class Outbound(Struct, frozen=True, kw_only=True):
    """Placing calls. Denied until prefixes are allowed."""

    allowed_prefixes: tuple[str, ...] = ()
    """What may be called: beginnings of the called address without its scheme, as in
    ["+4930", "+1555", "reception@"]. Empty denies every call out."""
    allow_loopback: bool = True
    """Allow addresses on this machine (sip:...@127.0.0.1) whatever the prefixes say."""
    username: str = ""
    """The user for a far end that asks for digest authentication."""
    password: Secret = Secret()
    """The password for it; best as "file:..." or "env:..."."""
    follow_redirects: bool = False
    """Call those whom a far end names instead (302). Each of them has to be allowed like any
    call out; off, since it is the far end that chooses and you who pay."""


class S3(Struct, frozen=True, kw_only=True):
    """An S3 bucket that finished recordings are moved to; boto3 does it (pip install boto3).

    Uploads are tried again for as long as it takes, also after a restart; the local file
    goes only when its checksum has been verified in the bucket.
    """

    bucket: str = ""
    """The bucket's name. Empty keeps recordings in the folder."""
    prefix: str = ""
    """What object names begin with, as in "calls/berlin"."""
    endpoint_url: str = ""
    """The address of a server that is not Amazon's, as in "https://minio.example:9000"."""
    region: str = ""
    """The bucket's region. Empty is as boto3 finds it (AWS_DEFAULT_REGION, ~/.aws)."""
    access_key_id: str = ""
    """Whose key signs requests. Empty is as boto3 finds it (environment, ~/.aws, a role)."""
    secret_access_key: Secret = Secret()
    """The key; best as "env:..." or "file:..."."""
    path_style: bool = False
    """Name the bucket in the path and not in the host's name, as most own servers want it."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """What the server is asked to encrypt with; that is beside [recording]'s own."""
    kms_key_id: str = ""
    """The server's key for "aws:kms"; empty is its default."""
    expire: Literal["delete", "tag"] = "delete"
    """Who deletes what has been kept long enough: "delete" is this node; "tag" puts the tag
    trunkline-keep-days on objects for a lifecycle rule of the bucket."""
    multipart_mb: Annotated[int, Meta(ge=5, le=4096)] = 16
    """Files above this size are uploaded in parts of it."""
    keep_local: bool = False
    """Keep the file in the folder too."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """Give up on a request that has stalled for this long, and try it again later."""


class Recording(Struct, frozen=True, kw_only=True):
    """Recordings of calls, each with a manifest (JSON) beside it.

    Sample-aligned: the far end left, our side right. A route or a call says otherwise in
    Python (RecordingOptions).
    """

    enabled: bool = False
    """Record every call. Check what the law where you are asks of you first."""
    folder: Path = _DATA / "recordings"
    """Where recordings go, in a folder for each day."""
    format: Literal["wav", "flac", "opus"] = "wav"
    """What a recording is when its call is over: "flac" loses nothing and takes a third, "opus"
    (in Ogg) a tenth. Both need PyAV (pip install av). While the call is up it is a WAV."""
    mix: Literal["stereo", "mono"] = "stereo"
    """Both sides in a channel each, or in one."""
    sides: Literal["both", "heard", "sent"] = "both"
    """What is recorded: "heard" is the far end alone, "sent" our side alone."""
    opus_bitrate: Annotated[int, Meta(ge=6000, le=510_000)] = 24_000
    """Bits a second of "opus", for both channels together."""
    min_free_mb: Annotated[int, Meta(ge=0, le=10_000_000)] = 200
    """Recordings wait while the disk has less room than this, and go on when it has more; calls
    do not notice. 0 waits only when the disk is full."""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Recordings are deleted so many days after the call; 0 keeps them."""
    retention_days_by_app: Mapping[str, Annotated[int, Meta(ge=0, le=36_500)]] = field(
        default_factory=dict
    )
    """The same for routes, by the name of the app that has the call."""
    encryption_key: Secret = Secret()
    """Encrypt recordings at rest with this key; best as "env:..." or "file:...". Either a secret
    key, or a public one, with which this node can write and not read. `trunkline recordings
    keygen` makes them. Empty does not encrypt."""
    encryption_key_id: str = ""
    """What manifests call the key, to find it again after a rotation. Empty is derived from it."""
    encryption_recipients: tuple[str, ...] = ()
    """Further public keys ("public:...") whose holders can read every recording."""
    s3: S3 = S3()


class Records(Struct, frozen=True, kw_only=True):
    """The detail record of every call."""

    path: Path = _DATA / "calls.db"
    """The SQLite file. Records that cannot be written to it go to calls.db.spill.jsonl."""


class Log(Struct, frozen=True, kw_only=True):
    """What the node says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe message shown."""
    format: Literal["auto", "console", "json"] = "auto"
    """"console" for people, "json" for machines; "auto" asks whether it is a terminal."""


class Settings(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    node: Node = Node()
    sip: Sip = Sip()
    media: Media = Media()
    audio: Audio = Audio()
    streams: Streams = Streams()
    http: Http = Http()
    agent: Agent = Agent()
    speech: Speech = Speech()
    llm: LLM = LLM()
    outbound: Outbound = Outbound()
    quality: Quality = Quality()
    recording: Recording = Recording()
    records: Records = Records()
    routing: Routing = Routing()
    protection: Protection = Protection()
    control: Control = Control()
    log: Log = Log()
    trunks: Mapping[str, TrunkSettings] = field(default_factory=dict)
    """The ways to the telephone network, each a table of its own: [trunks.carrier]. The reference
    has all of its keys."""
