"""What is public, name by name: a change here is a change of what we promise.

``docs/stability.md`` says what the promise is.
"""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import trunkline

ROOT = Path(trunkline.__file__).parent

SURFACE: dict[str, str] = {
    "trunkline": """
        Agent AudioPath Bridge BridgeOptions Call CallEnded CallEndedError ConfigError
        Conversation DialError Fork Gateway HoldRefusedError Limits MissingDependencyError
        OutboundDeniedError PeerError Phrases RecordingOptions Switchboard Tool ToolError
        TransferError Trunk TrunkBusyError TrunklineError TurnSettings UsageError __version__
        bridge bridge_of bridge_to echo play record stream tool
    """,
    "trunkline.agent": """
        Agent AgentEvent AgentFailed AgentSaying AgentSpoke AgentStarted BadSettingsError
        BargeIn CallerSilent CallerStarted CallerTurn Conversation Ear Endpointer
        FalseStart Heard Host Hosted IllegalTransitionError KeyPressed Limits Line
        NoEngineError Observer Pause Phrases SilenceEndpointer SpeakingSettings State Tool
        ToolCalled ToolError Toolbox TurnLatency TurnMachine TurnSettings Window diagram
        tool
    """,
    "trunkline.calls": """
        Alarm App AudioDefaults AudioPath Bridge BridgeOptions Call CallAnswered CallBridged
        CallDigit CallEarlyMedia CallEnded CallEndedError CallEvent CallHeld CallMarked
        CallQuality CallRecord CallResumed CallRinging CallStarted CallState CallTransferFailed
        CallTransferred CallTransferring CallUnbridged CallWarned Caps DialError
        DirectionQuality Fork Gateway HealthSettings HoldRefusedError LimitSettings MusicSource
        NumberPlan NumberRule OutboundDeniedError OutboundPolicy QualitySnapshot Rate RateTable
        RecordStore Recorded Recorder Recording RecordingError RecordingOptions RecordingPaused
        RecordingRestored RecordingResumed RecordingTroubled RecordsError Registrar Route
        RoutingRule Switchboard ToolUse TransferError TransferRecord Trunk TrunkBusyError Trunks
        TurnRecord UnknownCallError __name__
    """,
    "trunkline.cli": """
        main
    """,
    "trunkline.media": """
        ActivityBank Audio AudioBuffer AudioChunk Boundaries Branches BufferMetrics Bypass Chain
        ChainBank ChainHealth ChainMetrics ChainRow ChainSettings ChainStages Codec Concealer
        ConcealmentBank ConcealmentStatistics Datagram Decoder DtmfDigit DtmfReceiver DtmfSender
        ECHO_CANCELLERS Ear EchoAlignment EchoCanceller EchoStage EchoStatistics Encoder Engine
        FRAMES_PER_SECOND FRAME_MS FillSource Filled G711 G722 G722DecoderBank G722EncoderBank
        HeaderExtension Heard HeardKey JitterBank JitterBuffer JitterInlet JitterSettings
        JitterStatistics Joint KalmanEcho Kind L16 Lane Law MalformedAudioError
        MalformedMediaError MalformedRtcpError MalformedRtpError Mixer NlmsEcho NoEcho NoiseBank
        NoiseSettings NoiseStatistics NoiseSuppressor OpusBandwidth OpusMode OpusPacket Outlet
        PHASES PacketDecoder Playout QUIETEST_DBOV RandomBits ReceptionCounters ResampledCodec
        ResampledEcho Resampler RtcpCompound RtcpSession RtpPacket RtpSender SegmentSettings
        SegmenterBank SpeechBoundary SpeechSegmenter SrtpKey SrtpReceiver SrtpSender Stage
        StreamInlet StreamResampler TICK_SECONDS Tap ToneDetector WavError Window classify
        create_echo dtmf_audio frame_samples level_dbov levels_dbov noise_stage silence
        srtp_available to_float to_int16
    """,
    "trunkline.server": """
        Node Ports load_board run_node
    """,
    "trunkline.settings": """
        Agent Audio Control GatewaySettings HealthSettings Http KeyCaps LLM LimitSettings Loaded
        Log Media Node NumberRuleSettings Opus Outbound Protection Quality Recording Records
        Routing RoutingRuleSettings S3 Secret Settings Sip Speech Streams TrunkAudio
        TrunkSettings Turns check config_files is_loopback load problems
    """,
    "trunkline.sip": """
        Accepted AccessPolicy Account Acked Admission AudioAgreement AudioCapabilities
        AudioNegotiation Authorizer ByeReceived CSeq CallerIdentity Cancelled Carrier Challenge
        Challenger Codec Confirmed Credentials CryptoLine CryptoPair Dialog DigitReceived
        Direction Diverted EarlyAnswered Event Hop Invitation Invited MediaDescription Message
        NameAddress OpusParameters Origin Output ParseError Progress REASONS Randomness
        ReInviteAnswered ReInvited Reason Redirected Refer ReferProgress ReferTo Referral
        Referred Referring Registered Registration RegistrationEvent RegistrationFailed
        RegistrationRequest RegistrationState RegistrationWithdrawn Rejected Replaces Request
        Response SdpError Send Session SessionDescription SessionState Settings SipError
        StateError Terminated Timing Uri UserAgent Verdict Via blank_keys caller_identity
        diversions identity_headers parse_message
    """,
    "trunkline.speech": """
        Activity ActivityBank Detection Finished Grammar GrammarError LanguageModel Message
        ModelFailed Opus OpusLibrary OpusSettings Pcm Piece Recognition RecognitionFailed Role
        SpeechDetector SpeechError SpeechToText
        Spotter SynthesisFailed TextDelta TextToSpeech ToolCall ToolSpec Transcript
        UnknownEngine UnknownWords Usage WakeWord create names register
    """,
    "trunkline.transports": """
        Answered BrowserServer Digit Direction EarlyMedia Ended Held HoldChanged HoldableLeg Leg
        LegEvent LegObserver LegReceiver LegReplaced Listening MediaOptions MediaThread Party
        RedirectableLeg Resumed Ringing SipEndpoint SipOptions StreamLimits TlsProfile
        TransferAsked TransferObserver TransferProgress TransferRequest TransferableLeg
        TwilioServer WaitingBuffer WaitingChain WebSocketServer
    """,
    "trunkline.wire": """
        Clear Cleared Command Connected Dtmf Event Hangup Mark MarkReached Media SendDtmf
        Started Stopped
    """,
}

PACKAGES = sorted(SURFACE)


def package(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_offers_exactly_what_is_written_down_here(name: str) -> None:
    assert sorted(package(name).__all__) == sorted(SURFACE[name].split())


@pytest.mark.parametrize("name", PACKAGES)
def test_everything_offered_is_there(name: str) -> None:
    module = package(name)
    for public in module.__all__:
        assert getattr(module, public) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_lazy_name_is_the_same_object_as_in_its_module(name: str) -> None:
    """What the type checker reads and what runs are listed apart; they must agree."""
    module = package(name)
    for home, names in typed_imports(module):
        place = importlib.import_module(home, name)
        for public in names:
            assert getattr(module, public) is getattr(place, public)
            assert public in module.__all__


def typed_imports(module: ModuleType) -> list[tuple[str, list[str]]]:
    """The imports under ``if TYPE_CHECKING``, as (relative module, names)."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return [
        ("." * node.level + (node.module or ""), [alias.name for alias in node.names])
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    ]


def test_every_package_is_written_down_here() -> None:
    found = {
        ".".join(("trunkline", *path.parent.relative_to(ROOT).parts))
        for path in ROOT.glob("*/__init__.py")
    }
    assert found | {"trunkline"} == set(SURFACE)


def test_every_module_says_what_is_public_of_it() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if path.name != "__main__.py" and "\n__all__ = [" not in path.read_text(encoding="utf-8")
    ]
    assert not silent


@pytest.mark.parametrize("name", ["trunkline", "trunkline.calls", "trunkline.server"])
def test_a_lazy_package_lists_its_names_before_any_is_imported(name: str) -> None:
    program = f"import {name} as package; print(*dir(package))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(SURFACE[name].split()) <= set(done.stdout.split())


@pytest.mark.parametrize("name", ["trunkline", "trunkline.calls", "trunkline.transports"])
def test_a_name_that_does_not_exist_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Swichboard'"):
        _ = package(name).Swichboard


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()


def test_the_version_is_the_one_that_is_published() -> None:
    pyproject = (ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{trunkline.__version__}"' in pyproject
