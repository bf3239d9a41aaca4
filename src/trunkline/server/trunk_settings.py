"""What the settings say of trunks, routing and protection, as ``calls`` takes it."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec import structs

from trunkline.calls.guard import GateSettings
from trunkline.calls.guard_outbound import FraudSettings
from trunkline.calls.guard_patterns import PatternSettings
from trunkline.calls.guard_signs import SignSettings
from trunkline.calls.health import HealthSettings
from trunkline.calls.limits import LimitSettings
from trunkline.calls.numbers import NumberPlan, NumberRule
from trunkline.calls.routing import RateTable, RoutingRule, read_rates
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Caps, Gateway, Trunk
from trunkline.errors import ConfigError, UsageError
from trunkline.settings import (
    KeyCaps,
    NumberRuleSettings,
    Protection,
    Routing,
    RoutingRuleSettings,
    Settings,
    TrunkSettings,
    is_loopback,
)

__all__ = [
    "beside_records", "changed", "fraud", "gate", "problems", "rates", "rules", "trunk", "trunks",
]  # fmt: skip


def trunks(settings: Settings) -> list[Trunk]:
    """The trunks of the settings.

    Raises:
        ConfigError: one cannot be as it is written; says which.
    """
    made = []
    for name, written in settings.trunks.items():
        try:
            made.append(trunk(name, written))
        except UsageError as error:
            raise ConfigError(f"trunks.{name}: {error}") from None
    return made


def problems(settings: Settings) -> Iterator[str]:
    """What in a file cannot be as it is written, each with its place."""
    made = []
    for name, written in settings.trunks.items():
        try:
            made.append(trunk(name, written))
        except UsageError as error:
            yield f"trunks.{name}: {error}"
    routing = settings.routing
    # Where a file has no trunks, the rules may be for those of the code.
    known = set(settings.trunks) or {name for one in routing.rules for name in _named(one)}
    for check in (
        lambda: Trunks(made),
        lambda: rates(routing),
        lambda: rules(routing, known),
        lambda: fraud(settings.protection),
    ):
        try:
            check()
        except UsageError as error:
            yield str(error)


def _named(rule: RoutingRuleSettings) -> set[str]:
    """The trunks that a rule names."""
    return {*rule.trunks, *rule.split}


def trunk(name: str, written: TrunkSettings) -> Trunk:
    """One of them; raises `UsageError`."""
    return Trunk(
        name=name,
        gateways=tuple(Gateway(**structs.asdict(one)) for one in written.gateways),
        addresses=written.addresses,
        accounts={user: secret.reveal() for user, secret in written.accounts.items()},
        username=written.username,
        password=written.password.reveal(),
        register=written.register,
        registrar=written.registrar,
        expires_seconds=written.expires_seconds,
        limits=LimitSettings(**structs.asdict(written.limits)),
        caps=_caps(written.caps),
        health=HealthSettings(**structs.asdict(written.health)),
        prefixes=written.prefixes,
        priority=written.priority,
        weight=written.weight,
        plan=NumberPlan(
            written.country_code, written.international_prefix, written.national_prefix
        ),
        numbers_in=tuple(map(_number_rule, written.numbers_in)),
        numbers_out=tuple(map(_number_rule, written.numbers_out)),
        uri=written.uri,
        callers=written.callers,
        caller=written.caller,
        domain=written.domain,
        identity=written.identity,
        codecs=tuple(codec.upper() for codec in written.codecs),
        srtp=written.srtp,
        tls_verify=written.tls_verify,
        tls_ca=written.tls_ca,
        tls_certificate=written.tls_certificate,
        tls_key=written.tls_key,
        tls_server_name=written.tls_server_name,
        headers=dict(written.headers),
        no_response_seconds=written.no_response_seconds,
        no_answer_seconds=written.no_answer_seconds or None,
        failover_codes=frozenset(written.failover_codes),
        final_codes=frozenset(written.final_codes),
    )


def _number_rule(written: NumberRuleSettings) -> NumberRule:
    return NumberRule(**structs.asdict(written))


def _caps(written: KeyCaps) -> Caps:
    return Caps(**structs.asdict(written))


def rates(routing: Routing) -> RateTable:
    """The rates; raises `ConfigError` for a file that cannot be read."""
    return read_rates(routing.rates.expanduser()) if routing.rates != Path() else RateTable()


def rules(routing: Routing, known: set[str]) -> list[RoutingRule]:
    """The rules; raises `ConfigError` for a trunk that there is not."""
    made = []
    for written in routing.rules:
        try:
            rule = RoutingRule(
                written.prefix, written.trunks, tuple(written.split.items()), written.hours
            )
        except UsageError as error:
            raise ConfigError(f"routing.rules: {error}") from None
        if missing := set(rule.names) - known:
            raise ConfigError(f"routing.rules: there is no trunk {', '.join(sorted(missing))}")
        made.append(rule)
    return made


def gate(settings: Settings) -> GateSettings:
    """Who may call beside the trunks, and when a stranger is a scanner."""
    sip, protection = settings.sip, settings.protection
    return GateSettings(
        allowed=sip.allowed_addresses,
        never_blocked=protection.allowed_addresses,
        accounts={name: secret.reveal() for name, secret in sip.accounts.items()},
        realm=sip.realm,
        is_open=is_loopback(sip.host) and not sip.accounts and not sip.allowed_addresses,
        protect=protection.enabled,
        trust_loopback=protection.trust_loopback,
        signs=SignSettings(
            protection.failures,
            protection.account_failures,
            protection.numbers,
            protection.requests,
            protection.malformed,
        ),
    )


def fraud(protection: Protection) -> FraudSettings:
    """Caps and patterns; raises `ConfigError` for a file that cannot be read."""
    return FraudSettings(
        caps=_caps(protection.caps),
        keys={name: _caps(caps) for name, caps in protection.keys.items()},
        patterns=PatternSettings(
            premium_prefixes=protection.premium_prefixes,
            countries=_countries(protection.countries),
        ),
        block_score=protection.block_score,
        allow_unrated=protection.allow_unrated,
    )


def _countries(path: Path) -> tuple[tuple[str, str], ...]:
    if path == Path():
        return ()
    try:
        with path.expanduser().open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if len(line) >= 2 and "/" in line[0]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the countries in {path}: {error}") from None
    return tuple((line[0].strip(), line[1].strip()) for line in lines)


def beside_records(settings: Settings, path: Path, ending: str) -> Path:
    """A path of the settings, or, where it is empty, the records' with another ending."""
    if path != Path():
        return path.expanduser()
    return settings.records.path.with_suffix(ending)


CHANGEABLE = (
    "channels", "channels_in", "channels_out", "calls_per_second", "calls_per_second_in",
    "calls_per_second_out", "priority", "weight", "caller",
)  # fmt: skip


def changed(trunk: Trunk, changes: Mapping[str, object]) -> Trunk:
    """A trunk with some of its settings otherwise, as given on a command line.

    Raises `UsageError` for a setting that is changed in the file only.
    """
    if not changes:
        raise UsageError(f"say what to change, as in channels=20: {', '.join(CHANGEABLE)}")
    limits: dict[str, float] = {}
    others: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in CHANGEABLE:
            raise UsageError(_not_changeable(name))
        if name == "caller":
            others[name] = str(value)
            continue
        try:
            number = float(str(value))
        except ValueError:
            raise UsageError(f"{name} is a number, not {value!r}") from None
        if not 0 <= number <= 1e6:
            raise UsageError(f"{name} is 0 to a million, not {value!r}")
        if not name.startswith("calls_per"):
            if not number.is_integer():
                raise UsageError(f"{name} is a whole number, not {value!r}")
            number = int(number)
        (others if name in ("priority", "weight") else limits)[name] = number
    return replace(trunk, limits=replace(trunk.limits, **limits), **others)  # type: ignore[arg-type]


def _not_changeable(name: str) -> str:
    at_once = f"at once: {', '.join(CHANGEABLE)}"
    if name in TrunkSettings.__struct_fields__:
        return f"{name} is changed in the file (then `trunkline reload`); {at_once}"
    close = get_close_matches(name, CHANGEABLE, 1)
    hint = f"; did you mean {close[0]}?" if close else ";"
    return f"there is no setting {name}{hint} {at_once}"
