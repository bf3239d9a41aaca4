"""Mistakes inside of tables and lists are told with their place."""

from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.settings import load


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('gateways = ["sip:192.0.2.1"]', "gateways[0] is 'sip:192.0.2.1' but must be a table of"),
        ('gateways = [{ server = "sip:a", prio = 1 }]', "gateways[0].prio; did you mean priority?"),
        ("gateways = [{ priority = 1 }]", "gateways[0] needs a server: text"),
        ('gateway = "x"', 'no key trunks."a".gateway; did you mean gateways?'),
        ("limits = { channels = -1 }", "limits.channels is '-1' but must be a whole number from 0"),
        ('numbers_out = [{ form = "x" }]', "numbers_out[0].form is 'x' but must be one of"),
        ('country_code = "+49"', "up to three digits without a plus"),
        ("failover_codes = [503, 700]", "failover_codes[1] is '700' but must be a whole number"),
        ("headers = { Subject = 1 }", "headers.\"Subject\" is '1' but must be text"),
        ("xyzzy = 1", "there are gateways, addresses"),
    ],
)
def test_a_mistake_in_a_table_of_tables_is_told_with_its_place(
    tmp_path: Path, written: str, told: str
) -> None:
    (tmp_path / "trunkline.toml").write_text(f"[trunks.a]\n{written}\n")
    with pytest.raises(ConfigError) as raised:
        load([tmp_path / "trunkline.toml"])
    assert told in str(raised.value)


def test_a_secret_in_a_table_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "trunkline.toml").write_text("[trunks.a]\npassword = 90125\n")
    with pytest.raises(ConfigError, match=r"trunks.*password must be text") as raised:
        load([tmp_path / "trunkline.toml"])
    assert "90125" not in str(raised.value)
    (tmp_path / "trunkline.toml").write_text("[trunks.a.accounts]\nuser = 90125\n")
    with pytest.raises(ConfigError) as raised:
        load([tmp_path / "trunkline.toml"])
    assert "90125" not in str(raised.value)
