"""The configuration: one frozen tree, built once at the edge and passed down.

    loaded = load(config_files(None, os.environ), environ=os.environ, flags={"sip.port": 5070})
    check(loaded.settings)
    run(loaded.settings.sip, ...)

`tree` has every setting with its default and meaning; `load` builds the tree of
files, environment and flags; `checks` refuses what contradicts or exposes;
`sample` writes the annotated file.
"""

from .checks import check, is_loopback, problems
from .load import Loaded, config_files, load
from .quality import Quality
from .secret import Secret
from .tree import (
    LLM,
    S3,
    Agent,
    Audio,
    Http,
    Log,
    Media,
    Node,
    Opus,
    Outbound,
    Recording,
    Records,
    Settings,
    Sip,
    Speech,
    Streams,
    TrunkAudio,
    Turns,
)
from .trunks import (
    Control,
    GatewaySettings,
    HealthSettings,
    KeyCaps,
    LimitSettings,
    NumberRuleSettings,
    Protection,
    Routing,
    RoutingRuleSettings,
    TrunkSettings,
)

__all__ = [
    "LLM",
    "S3",
    "Agent",
    "Audio",
    "Control",
    "GatewaySettings",
    "HealthSettings",
    "Http",
    "KeyCaps",
    "LimitSettings",
    "Loaded",
    "Log",
    "Media",
    "Node",
    "NumberRuleSettings",
    "Opus",
    "Outbound",
    "Protection",
    "Quality",
    "Recording",
    "Records",
    "Routing",
    "RoutingRuleSettings",
    "Secret",
    "Settings",
    "Sip",
    "Speech",
    "Streams",
    "TrunkAudio",
    "TrunkSettings",
    "Turns",
    "check",
    "config_files",
    "is_loopback",
    "load",
    "problems",
]
