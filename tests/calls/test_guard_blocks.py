"""The block list: longer each time, bounded, kept, and never too long by mistake."""

import pytest

from trunkline.calls.guard_blocks import BLOCK_SECONDS, Blocklist, address_key
from trunkline.errors import UsageError

NOW = 1_800_000_000.0


def test_an_address_is_blocked_for_longer_each_time() -> None:
    blocks, at, lengths = Blocklist(), NOW, []
    for _ in range(6):
        block = blocks.strike("192.0.2.7", "guesses", at)
        lengths.append(block.until - at)
        at = block.until + 1
    assert lengths == [*BLOCK_SECONDS, BLOCK_SECONDS[-1]]


def test_a_day_of_peace_is_forgiven() -> None:
    blocks = Blocklist()
    block = blocks.strike("192.0.2.7", "guesses", NOW)
    again = blocks.strike("192.0.2.7", "guesses", block.until + 86_401)
    assert again.strikes == 1


def test_a_block_ends_and_counts_what_it_dropped() -> None:
    blocks = Blocklist()
    block = blocks.strike("192.0.2.7", "guesses", NOW)
    assert blocks.blocks("192.0.2.7", NOW + 1) and blocks.blocks("192.0.2.7", NOW + 2)
    assert not blocks.blocks("192.0.2.8", NOW) and not blocks.blocks("192.0.2.7", block.until)
    assert block.hits == blocks.dropped == 2
    assert list(blocks.listing(block.until)) == []


def test_ipv6_is_blocked_by_the_subscribers_network() -> None:
    blocks = Blocklist()
    blocks.strike("2001:db8:1:2::5", "scans", NOW)
    assert blocks.blocks("2001:db8:1:2:ffff::1", NOW)
    assert not blocks.blocks("2001:db8:1:3::5", NOW)
    assert address_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert address_key("not an:address") == "not an:address"


def test_an_operator_blocks_networks_for_ever_and_takes_them_back() -> None:
    blocks = Blocklist()
    blocks.add("192.0.2.0/24", NOW, reason="spam")
    blocks.add("198.51.100.1", NOW, seconds=60)
    assert blocks.blocks("192.0.2.200", NOW + 1e9)
    assert blocks.blocks("198.51.100.1", NOW + 59) and not blocks.blocks("198.51.100.1", NOW + 61)
    assert blocks.remove("192.0.2.0/24") and not blocks.remove("192.0.2.0/24")
    assert not blocks.blocks("192.0.2.200", NOW)
    with pytest.raises(UsageError):
        blocks.add("everybody", NOW)


def test_what_an_operator_blocked_for_ever_stays_so() -> None:
    blocks = Blocklist()
    blocks.add("192.0.2.7", NOW)
    assert blocks.strike("192.0.2.7", "scans", NOW).until == 0


def test_a_million_spoofed_addresses_take_no_more_memory_than_the_list_has() -> None:
    blocks = Blocklist(most=1000)
    blocks.add("203.0.113.1", NOW)
    for number in range(1_000_000):
        blocks._put(blocks_of(number))
    assert len(blocks) <= 1001
    assert blocks.blocks("203.0.113.1", NOW), "what an operator said stays"


def blocks_of(number: int):  # type: ignore[no-untyped-def]
    from trunkline.calls.guard_blocks import Block

    return Block(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "scans", NOW + 60)


def test_it_is_kept_and_restored() -> None:
    kept: dict[str, object] = {}

    def saved(key: str, value: object) -> None:
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value

    blocks = Blocklist(most=3, saved=saved)
    blocks.add("192.0.2.0/24", NOW)
    for last in range(5):
        blocks.strike(f"198.51.100.{last}", "scans", NOW)
    assert set(kept) == {"192.0.2.0/24", *(f"198.51.100.{last}" for last in (2, 3, 4))}
    again = Blocklist()
    again.restore(kept, NOW + 30)  # type: ignore[arg-type]
    assert again.blocks("192.0.2.9", NOW + 30) and again.blocks("198.51.100.4", NOW + 30)
    later = Blocklist()
    later.restore(kept, NOW + 1e6)  # type: ignore[arg-type]
    assert len(later) == 1
