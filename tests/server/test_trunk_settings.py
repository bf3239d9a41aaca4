"""Trunks as TOML says them."""

import re
from pathlib import Path

import pytest

from trunkline.calls.numbers import NumberRule
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.errors import ConfigError, UsageError
from trunkline.server import trunk_settings
from trunkline.server.logs import secrets_of
from trunkline.settings import Settings, load, problems
from trunkline.settings.sample import show

CARRIER = """
[trunks.carrier]
gateways = [
  { server = "sip:203.0.113.9", priority = 1, weight = 10 },
  { server = "sip:203.0.113.10;transport=tcp", priority = 2 },
]
addresses = ["203.0.113.0/28"]
accounts = { carl = "hunter2" }
username = "me"
password = "env:CARRIER_PASSWORD"
country_code = "49"
numbers_out = [{ form = "international" }, { match = "00(\\\\d+)", replace = "\\\\1" }]
callers = ["+4930555*"]
caller = "+493055500"
identity = "pai"
codecs = ["pcma"]
srtp = "optional"
headers = { X-Account = "42" }
failover_codes = [403]
limits = { channels = 30, calls_per_second = 5 }
caps = { spend_per_day = 50.0 }
health = { options_seconds = 60, misses = 2 }

[routing]
order = "priority"
rules = [{ prefix = "+49", split = { carrier = 100 }, hours = "mon-fri 08:00-18:00" }]

[protection.keys.app]
channels = 3
"""


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "trunkline.toml"
    path.write_text(text)
    return load([path], environ={"CARRIER_PASSWORD": "hunter3"}).settings


def test_a_trunk_is_as_it_is_written(tmp_path: Path) -> None:
    settings = read(tmp_path, CARRIER)
    (trunk,) = trunk_settings.trunks(settings)
    assert trunk.gateways == (
        Gateway("sip:203.0.113.9", 1, 10), Gateway("sip:203.0.113.10;transport=tcp", 2, 1)
    )  # fmt: skip
    assert trunk.accounts == {"carl": "hunter2"} and trunk.password == "hunter3"
    assert trunk.plan.country_code == "49" and trunk.numbers_in == (NumberRule(form="e164"),)
    assert trunk.outgoing("+4930") == "4930"
    assert (trunk.limits.channels, trunk.limits.calls_per_second) == (30, 5.0)
    assert trunk.caps.spend_per_day == 50.0
    assert (trunk.health.options_seconds, trunk.health.misses, trunk.health.hits) == (60, 2, 2)
    assert trunk.codecs == ("PCMA",) and trunk.srtp == "optional" and trunk.identity == "pai"
    assert trunk.failover_codes == {403} and trunk.headers == {"X-Account": "42"}
    assert trunk.no_answer_seconds is None
    (rule,) = trunk_settings.rules(settings.routing, {"carrier"})
    assert rule.split == (("carrier", 100.0),)
    assert trunk_settings.fraud(settings.protection).keys["app"].channels == 3


def test_its_passwords_are_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text(CARRIER)
    loaded = load([path], environ={"CARRIER_PASSWORD": "hunter3"})
    assert "hunter" not in repr(list(show(loaded))) + repr(loaded.settings)
    assert {secret.reveal() for secret in secrets_of(loaded.settings)} >= {"hunter2", "hunter3"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('gateways = [{ server = "203.0.113.9" }]', "gateway is a SIP URI"),
        ('addresses = ["nowhere"]', "no address or network"),
        ('numbers_out = [{ match = "(\\\\d+)+" }]', "too long"),
        ("failover_codes = [486]", "never a reason"),
        ("register = true", "username"),
    ],
)
def test_what_cannot_be_is_refused_with_its_trunk(tmp_path: Path, line: str, told: str) -> None:
    settings = read(tmp_path, f"[trunks.carrier]\n{line}\n")
    with pytest.raises(ConfigError, match=rf"trunks.carrier: .*{told}"):
        trunk_settings.trunks(settings)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gatways = []", 'no key trunks."carrier".gatways'),
        ("gateways = [{ priority = 1 }]", 'trunks."carrier".gateways'),
        ('srtp = "maybe"', 'trunks."carrier".srtp'),
        ("password = 5", 'trunks."carrier".password must be'),
        ("limits = { channels = -1 }", 'trunks."carrier".limits'),
    ],
)
def test_a_key_that_is_wrong_is_told_with_its_place(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, f"[trunks.carrier]\n{line}\n")
    assert told in str(raised.value)


def test_a_rule_names_trunks_that_there_are(tmp_path: Path) -> None:
    settings = read(tmp_path, '[routing]\nrules = [{ trunks = ["gone"] }]\n')
    with pytest.raises(ConfigError, match="gone"):
        trunk_settings.rules(settings.routing, {"carrier"})


def test_a_trunk_is_enough_to_listen_to_the_world(tmp_path: Path) -> None:
    wide = '[sip]\nhost = "0.0.0.0"\n[media]\nhost = "0.0.0.0"\n'
    assert any("sip.host" in one for one in problems(read(tmp_path, wide)))
    trunk = '[trunks.carrier]\naddresses = ["203.0.113.9"]\n'
    assert not list(problems(read(tmp_path, wide + trunk)))
    audio = '[audio.trunks]\ncarrier = { echo = "off" }\n'
    assert not list(problems(read(tmp_path, wide + trunk + audio)))


def test_some_settings_change_at_once(tmp_path: Path) -> None:
    trunk = Trunk(name="carrier")
    changed = trunk_settings.changed(trunk, {"channels": "20", "priority": "3", "caller": "+49"})
    assert (changed.limits.channels, changed.priority, changed.caller) == (20, 3, "+49")
    for wrong, why in (
        ({"gateways": "x"}, "gateways is changed in the file"),
        ({"chanels": "2"}, "did you mean channels?"),
        ({"channels": "many"}, "is a number, not 'many'"),
        ({"channels": "-1"}, "0 to a million"),
        ({"channels": "0.5"}, "a whole number"),  # rounded down it would be no limit at all
        ({}, "as in channels=20"),
    ):
        with pytest.raises(UsageError, match=re.escape(why)):
            trunk_settings.changed(trunk, wrong)


def test_countries_are_read_from_a_file(tmp_path: Path) -> None:
    table = tmp_path / "countries.csv"
    table.write_text("network,country\n192.0.2.0/24,DE\n\n2001:db8::/32,FR\n")
    settings = read(tmp_path, f'[protection]\ncountries = "{table}"\n')
    assert trunk_settings.fraud(settings.protection).patterns.countries == (
        ("192.0.2.0/24", "DE"), ("2001:db8::/32", "FR")
    )  # fmt: skip
    settings = read(tmp_path, f'[protection]\ncountries = "{tmp_path}/none.csv"\n')
    with pytest.raises(ConfigError, match="cannot read"):
        trunk_settings.fraud(settings.protection)


def test_what_cannot_be_is_found_without_a_node(tmp_path: Path) -> None:
    written = """
[routing]
rates = "nowhere.csv"
rules = [{ prefix = "+49", trunks = ["carrier", "backup"] }]

[trunks.carrier]
gateways = [{ server = "203.0.113.9" }]

[trunks.other]
accounts = { pbx = "secret" }

[trunks.same]
accounts = { pbx = "secret" }
"""
    found = list(trunk_settings.problems(read(tmp_path, written)))
    for what in ("trunks.carrier: a gateway", "nowhere.csv", "no trunk backup", "account pbx"):
        assert any(what in one for one in found), what
    assert len(found) == 4
    assert not list(trunk_settings.problems(read(tmp_path, CARRIER)))
    rules_of_code = '[routing]\nrules = [{ prefix = "+49", trunks = ["made-in-python"] }]\n'
    assert not list(trunk_settings.problems(read(tmp_path, rules_of_code)))
    other = '[trunks.a]\naddresses = ["192.0.2.1"]\ncodecs = ["opus"]\n'
    assert any("media.codecs has pcmu" in one for one in problems(read(tmp_path, other)))
