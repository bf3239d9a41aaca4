"""Proofs that are right and still not good enough, and nonces at the edge of their life."""

import hashlib

import pytest

from trunkline.sip.digest import Account, Challenge, Challenger, digest_response
from trunkline.sip.errors import ParseError

SECRET = b"0123456789abcdef"
ACCOUNTS = {"us": Account(password="pw")}
URI = "sip:b@h"


def proven(challenger: Challenger, now: float, password: str = "pw", **said: str) -> str:
    """An Authorization whose proof is right for what it says, whatever that is."""
    pairs = {
        "realm": "r",
        "nonce": challenger.nonce(now),
        "uri": URI,
        "qop": "auth",
        "nc": "00000001",
    }
    pairs |= {"cnonce": "x", "algorithm": "MD5"} | said
    pairs = {name: value for name, value in pairs.items() if value}
    proof = digest_response(pairs, "INVITE", b"", username="us", password=password, ha1="")
    fields = {"username": "us", **pairs, "response": proof}
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


def judged(challenger: Challenger, field: str, now: float, uri: str = URI) -> str:
    return challenger.check("INVITE", uri, [field], b"", now).outcome


def test_a_right_proof_is_accepted() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET)
    assert judged(challenger, proven(challenger, 0.0), 1.0) == "accepted"


@pytest.mark.parametrize(
    "said",
    [
        {"qop": "auth-int"},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"nc": "000000001"},
        {"algorithm": "SHA-256"},
        {"algorithm": "MD5-sess"},
        {"uri": "nonsense"},
        {"uri": "sip:900@h"},
    ],
)
def test_a_right_proof_of_something_else_is_refused(said: dict[str, str]) -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET, algorithms=("MD5",))
    assert judged(challenger, proven(challenger, 0.0, **said), 1.0) == "refused"


def test_a_counter_must_grow_and_may_skip() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET)
    nonce = challenger.nonce(0.0)
    outcomes = [
        judged(challenger, proven(challenger, 0.0, nonce=nonce, nc=count), 1.0)
        for count in ("00000000", "00000002", "00000001", "00000002", "0000000A", "0000000B")
    ]
    assert outcomes == ["stale", "accepted", "stale", "stale", "accepted", "accepted"]


def test_a_nonce_used_without_counting_is_used_up() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET)
    nonce = challenger.nonce(0.0)
    first = proven(challenger, 0.0, nonce=nonce, qop="", nc="", cnonce="")
    assert judged(challenger, first, 1.0) == "accepted"
    again = proven(challenger, 0.0, nonce=nonce, nc="ffffffff")
    assert judged(challenger, again, 1.0) == "stale"


def test_a_nonce_lives_exactly_as_long_as_it_is_told() -> None:
    for age, outcome in ((0.0, "accepted"), (60.0, "accepted"), (60.5, "stale"), (-1.0, "stale")):
        challenger = Challenger("r", ACCOUNTS, SECRET, lifetime_seconds=60)
        field = proven(challenger, 100.0)
        assert judged(challenger, field, 100.0 + age) == outcome


def test_a_nonce_that_was_lengthened_is_not_ours() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET)
    nonce = challenger.nonce(0.0)
    for forged in (nonce + "AAAA", nonce[:-4], "////" + nonce[4:], "!"):
        assert judged(challenger, proven(challenger, 0.0, nonce=forged), 1.0) == "stale"


def test_whoever_is_known_by_a_hash_alone_is_not_let_in_without_a_password() -> None:
    accounts = {"us": Account(ha1="c1a9f5e3d7a1d2b8a8d2f1a0b9c8d7e6")}
    challenger = Challenger("r", accounts, SECRET, algorithms=("SHA-256", "MD5"))
    for algorithm in ("SHA-256", "MD5"):
        field = proven(challenger, 0.0, algorithm=algorithm, password="")
        assert judged(challenger, field, 1.0) == "refused"


def test_a_session_key_is_made_of_the_nonces_as_rfc_2617_says() -> None:
    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    pairs = {"realm": "r", "nonce": "n", "cnonce": "c", "uri": URI, "algorithm": "MD5-sess"}
    pairs |= {"qop": "auth", "nc": "00000001"}
    key = md5(md5("us", "r", "pw"), "n", "c")
    expected = md5(key, "n", "00000001", "c", "auth", md5("INVITE", URI))
    assert digest_response(pairs, "INVITE", b"", username="us", password="pw", ha1="") == expected


@pytest.mark.parametrize("scheme", ["Basic", "", "Digestive"])
def test_a_challenge_of_another_scheme_is_none_though_it_looks_like_one(scheme: str) -> None:
    with pytest.raises(ParseError):
        Challenge.parse(f'{scheme} realm="r", nonce="n", qop="auth"')
