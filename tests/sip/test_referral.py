"""What a REFER asks for and what a NOTIFY tells, as text."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip import ParseError, ReferTo, Replaces, Request
from trunkline.sip.referral import SubscriptionState, read_fragment

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)


def refer(*values: str) -> ReferTo:
    return ReferTo.parse(Request("REFER", "sip:a@b", [("Refer-To", value) for value in values]))


@given(WORDS, WORDS, st.none() | st.tuples(WORDS, WORDS, WORDS, st.booleans()))
def test_what_is_written_is_read(
    user: str, host: str, tags: tuple[str, str, str, bool] | None
) -> None:
    to = ReferTo(f"sip:{user}@{host}.example", Replaces(*tags) if tags else None)
    assert refer(str(to)) == to
    assert refer(f'"Somebody, else" {to};early=1') == to


@given(st.text(max_size=80))
def test_nothing_else_than_a_parse_error_comes_of_text(text: str) -> None:
    to = ReferTo("sip:a@b")
    with suppress(ParseError):
        to = refer(f"<sip:{text}>")
    # Whatever it was, it cannot break out of the field it is written into.
    assert not set(to.uri) & set("\r\n<> ")


@pytest.mark.parametrize(
    ("value", "uri"),
    [("<sip:a@b;method=INVITE>", "sip:a@b"), ("<sip:a@b;method=invite;x=1>", "sip:a@b;x=1"),
     ("sip:a@b", "sip:a@b"), ("<tel:+4930123>", "tel:+4930123"), ("<sips:a@b>", "sips:a@b"),
     ("<sip:a%0d%0aVia:x@b>", "sip:a%0D%0AVia:x@b")],
)  # fmt: skip
def test_whom_it_means(value: str, uri: str) -> None:
    assert refer(value).uri == uri


@pytest.mark.parametrize(
    ("values", "code"),
    [((), 400), (("<sip:a@b>", "<sip:a@b>"), 400), (("<sip:a@b;method=BYE>",), 603),
     (("<http://a/>",), 416), (("<sip:a@b;method=%0a>",), 603)],
)  # fmt: skip
def test_what_it_may_not_mean(values: tuple[str, ...], code: int) -> None:
    with pytest.raises(ParseError) as caught:
        refer(*values)
    assert caught.value.code == code


@given(st.sampled_from(["active", "pending", "terminated"]), st.none() | st.integers(0, 10**9 - 1),
       st.sampled_from(["", "noresource", "timeout"]))  # fmt: skip
def test_a_subscription_state_is_read_as_written(
    word: str, expires: int | None, reason: str
) -> None:
    state = SubscriptionState(word, expires, reason)
    assert SubscriptionState.parse(str(state)) == state


@pytest.mark.parametrize(
    ("text", "state"),
    [("Active ; expires=10", SubscriptionState("active", 10)),
     ("active;expires=-1", SubscriptionState("active")),
     ("active;expires=99999999999999", SubscriptionState("active")),
     ("terminated;reason=NoResource;retry-after=9",
      SubscriptionState("terminated", None, "noresource")),
     ("", SubscriptionState(""))],
)  # fmt: skip
def test_odd_states(text: str, state: SubscriptionState) -> None:
    assert SubscriptionState.parse(text) == state


@pytest.mark.parametrize(
    ("body", "found"),
    [(b"SIP/2.0 200 OK\r\n", (200, "OK")), (b"SIP/2.0 180\r\n", (180, "")),
     (b"sip/2.0 486 Busy Here", (486, "Busy Here")),
     (b"\r\nSIP/2.0 603 No\r\nX: y\r\n", (603, "No")),
     (b"SIP/2.0 200 OK\r\nTo: <sip:a@b>\r\n\r\n", (200, "OK")),
     (b"", (0, "")), (b"SIP/2.0 700 x", (0, "")), (b"SIP/2.0 99 x", (0, "")),
     (b"\xff\x00", (0, "")),
     (b"SIP/2.0 200 \xff\xfe", (200, "\ufffd\ufffd")), (b"SIP/3.0 200 OK", (0, ""))],
)  # fmt: skip
def test_the_status_of_a_fragment(body: bytes, found: tuple[int, str]) -> None:
    assert read_fragment(body) == found


@given(st.binary(max_size=300))
def test_any_body_is_a_fragment_or_none(body: bytes) -> None:
    code, reason = read_fragment(body)
    assert code == 0 or 100 <= code < 700
    assert len(reason) <= 128 and "\n" not in reason
