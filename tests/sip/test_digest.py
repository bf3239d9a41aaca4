"""Digest, both sides; the figures of RFC 2617 and RFC 7616 are the anchors."""

import hashlib
import itertools

import pytest

from trunkline.errors import UsageError
from trunkline.sip.digest import (
    Account,
    Authorizer,
    Challenge,
    Challenger,
    Credentials,
    digest_response,
)
from trunkline.sip.errors import ParseError
from trunkline.sip.message import Response

SECRET = b"0123456789abcdef"
ACCOUNTS = {"us": Account(password="pw"), "old": Account(ha1="c1a9f5e3d7a1d2b8a8d2f1a0b9c8d7e6")}


def challenged(*fields: tuple[str, str], code: int = 401) -> Response:
    return Response(code, "", fields)


def authorizer(*credentials: Credentials) -> Authorizer:
    numbers = itertools.count(1)
    return Authorizer(credentials or [Credentials("us", "pw")], lambda: f"c{next(numbers)}")


def exchange(
    challenger: Challenger, client: Authorizer, now: float, uri: str = "sip:b@h", body: bytes = b""
) -> str:
    fields = [value for _, value in client.headers("INVITE", uri, body)]
    return challenger.check("INVITE", uri, fields, body, now).outcome


def test_the_example_of_rfc_2617_comes_out() -> None:
    pairs = {
        "realm": "testrealm@host.com",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "uri": "/dir/index.html",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "0a4f113b",
    }
    proof = digest_response(pairs, "GET", b"", username="Mufasa", password="Circle Of Life", ha1="")
    assert proof == "6629fae49393a05397450978507c4ef1"


def test_the_sha_256_example_of_rfc_7616_comes_out() -> None:
    pairs = {
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "algorithm": "SHA-256",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    }
    proof = digest_response(pairs, "GET", b"", username="Mufasa", password="Circle of Life", ha1="")
    assert proof == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_client_that_knows_the_password_is_accepted(algorithm: str) -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET, algorithms=(algorithm,)), authorizer()
    assert client.challenged(challenged(*challenger.headers(0)))
    assert exchange(challenger, client, 1.0) == "accepted"
    assert exchange(challenger, client, 2.0) == "accepted"  # the counter goes up


def test_a_stored_hash_serves_instead_of_the_password() -> None:
    ha1 = hashlib.md5(b"us:r:pw").hexdigest()
    challenger = Challenger("r", {"us": Account(ha1=ha1)}, SECRET)
    client = authorizer(Credentials("us", ha1=ha1))
    assert client.challenged(challenged(*challenger.headers(0)))
    assert exchange(challenger, client, 1.0) == "accepted"


@pytest.mark.parametrize(
    "credentials", [Credentials("us", "wrong"), Credentials("who", "pw"), Credentials("", "")]
)
def test_wrong_credentials_are_refused(credentials: Credentials) -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET), authorizer(credentials)
    client.challenged(challenged(*challenger.headers(0)))
    assert exchange(challenger, client, 1.0) in ("refused", "missing")


def test_an_old_nonce_is_stale_and_one_that_is_not_ours_too() -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET, lifetime_seconds=60), authorizer()
    client.challenged(challenged(*challenger.headers(0)))
    assert exchange(challenger, client, 61.0) == "stale"
    stranger = authorizer()
    stranger.challenged(challenged(*Challenger("r", ACCOUNTS, b"x" * 16).headers(61)))
    assert exchange(challenger, stranger, 61.0) == "stale"
    assert client.challenged(challenged(*challenger.headers(61, stale=True)))
    assert exchange(challenger, client, 62.0) == "accepted"


def test_a_recorded_request_cannot_be_played_again() -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET), authorizer()
    client.challenged(challenged(*challenger.headers(0)))
    recorded = [value for _, value in client.headers("INVITE", "sip:b@h")]
    assert challenger.check("INVITE", "sip:b@h", recorded, b"", 1).outcome == "accepted"
    assert challenger.check("INVITE", "sip:b@h", recorded, b"", 1).outcome == "stale"
    assert challenger.check("INVITE", "sip:900@h", recorded, b"", 1).outcome == "refused"
    assert challenger.check("BYE", "sip:b@h", recorded, b"", 1).outcome == "refused"


def test_a_proxy_may_have_changed_the_host_but_not_the_user() -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET), authorizer()
    client.challenged(challenged(*challenger.headers(0)))
    fields = [value for _, value in client.headers("INVITE", "sip:b@public.example")]
    assert challenger.check("INVITE", "sip:b@10.0.0.1:5070", fields, b"", 1).outcome == "accepted"


def test_a_phone_without_qop_gets_one_use_of_a_nonce() -> None:
    challenger, client = Challenger("r", ACCOUNTS, SECRET), authorizer()
    field = challenger.headers(0)[0][1].replace(', qop="auth"', "")
    client.challenged(challenged(("WWW-Authenticate", field)))
    assert exchange(challenger, client, 1.0) == "accepted"
    assert exchange(challenger, client, 1.0) == "stale"


def test_counters_are_forgotten_when_there_are_too_many() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET)
    challenger.MAX_COUNTERS = 10  # type: ignore[misc]
    for _ in range(50):
        client = authorizer()
        client.challenged(challenged(*challenger.headers(0)))
        assert exchange(challenger, client, 1.0) == "accepted"
    assert len(challenger._counters) == 10


@pytest.mark.parametrize(
    "text",
    ["", "Basic eDp5", "Digest", 'Digest realm="r"', 'Digest realm="r", username="us", nonce="?"',
     'Digest realm="r",nonce="é",username="us",uri="sip:b@h",response="é"', "Digest " + "a" * 60000,
     'Digest realm="r", nonce="' + "A" * 36 + '", nc=zz, qop=auth',
     'Digest realm="r", qop=auth-int, nc=00000001, algorithm=SHA-512', 'Digest ="",,,=,"'],
)  # fmt: skip
def test_hostile_authorizations_are_not_accepted(text: str) -> None:
    outcome = Challenger("r", ACCOUNTS, SECRET).check("INVITE", "sip:b@h", [text], b"", 0).outcome
    assert outcome in ("missing", "refused", "stale")


def test_a_hash_cannot_prove_sha_256() -> None:
    challenger = Challenger("r", ACCOUNTS, SECRET, algorithms=("SHA-256",))
    client = authorizer(Credentials("old", "x"))
    client.challenged(challenged(*challenger.headers(0)))
    assert exchange(challenger, client, 1.0) == "refused"


def test_a_short_secret_and_unknown_algorithms_are_our_mistake() -> None:
    with pytest.raises(UsageError):
        Challenger("r", ACCOUNTS, b"short")
    with pytest.raises(UsageError):
        Challenger("r", ACCOUNTS, SECRET, algorithms=("MD4",))


# The client.


def test_both_kinds_of_challenge_are_answered_in_one_request() -> None:
    client = authorizer()
    assert client.challenged(
        challenged(("WWW-Authenticate", 'Digest realm="a", nonce="1"'),
                   ("Proxy-Authenticate", 'Digest realm="p", nonce="2"'))
    )  # fmt: skip
    assert [name for name, _ in client.headers("INVITE", "sip:h")] == [
        "Authorization",
        "Proxy-Authorization",
    ]


def test_the_first_challenge_of_a_realm_that_can_be_answered_counts() -> None:
    client = authorizer()
    field = (
        'Digest realm="r, x", nonce="1", algorithm=SHA-512-256, Basic realm="r, x", '
        'Digest realm="r, x", nonce="2", algorithm=SHA-256, qop="auth-int,auth", opaque="o\\"p", '
        'Digest realm="r, x", nonce="3"'
    )
    assert client.challenged(challenged(("WWW-Authenticate", field)))
    ((_, answer),) = client.headers("INVITE", "sip:h")
    assert 'nonce="2"' in answer
    assert "algorithm=SHA-256" in answer
    assert "qop=auth, nc=00000001" in answer
    assert 'opaque="o\\"p"' in answer


def test_a_refused_answer_is_not_given_again_unless_only_the_nonce_was_stale() -> None:
    client = authorizer()
    assert client.challenged(challenged(("WWW-Authenticate", 'Digest realm="r", nonce="1"')))
    assert not client.challenged(challenged(("WWW-Authenticate", 'Digest realm="r", nonce="2"')))
    stale = 'Digest realm="r", nonce="3", stale=TRUE'
    assert client.challenged(challenged(("WWW-Authenticate", stale)))
    assert not client.challenged(challenged(("WWW-Authenticate", stale)))  # it cannot be


def test_a_second_realm_on_the_way_is_answered_too() -> None:
    client = authorizer()
    assert client.challenged(challenged(("Proxy-Authenticate", 'Digest realm="p", nonce="1"')))
    assert client.challenged(challenged(("Proxy-Authenticate", 'Digest realm="q", nonce="1"')))
    assert len(client.headers("INVITE", "sip:h")) == 2


def test_credentials_of_another_realm_are_not_shown() -> None:
    client = authorizer(Credentials("us", "pw", realm="mine"))
    assert not client.challenged(challenged(("WWW-Authenticate", 'Digest realm="r", nonce="1"')))
    assert client.headers("INVITE", "sip:h") == []


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-256-sess"])
def test_session_algorithms_and_integrity_of_the_body_are_known(algorithm: str) -> None:
    client = authorizer()
    field = f'Digest realm="r", nonce="1", algorithm={algorithm}, qop="auth-int"'
    assert client.challenged(challenged(("WWW-Authenticate", field)))
    answers = [client.headers("INVITE", "sip:h", body)[0][1] for body in (b"a", b"b")]
    assert answers[0] != answers[1]
    assert 'cnonce="c1"' in answers[0]


@pytest.mark.parametrize(
    "text", ["", "Digest", "Basic x=y", 'Digest realm="r"', 'Digest nonce="n"',
             'Digest realm="r", nonce="n", algorithm=X', 'Digest realm="r", nonce="n", qop="x"'],
)  # fmt: skip
def test_unusable_challenges_are_passed_over(text: str) -> None:
    with pytest.raises(ParseError):
        Challenge.parse(text)
    assert not authorizer().challenged(challenged(("WWW-Authenticate", text)))


def test_a_new_nonce_is_taken_from_who_had_taken_the_answer_before() -> None:
    """Servers that restart, and some that do not, refuse an old nonce without saying stale."""
    client = authorizer()
    ask = 'Digest realm="r", nonce="{}", qop="auth"'
    assert client.challenged(challenged(("WWW-Authenticate", ask.format("1"))))
    assert not client.challenged(challenged(("WWW-Authenticate", ask.format("2"))))
    client.worked()
    assert client.challenged(challenged(("WWW-Authenticate", ask.format("3"))))
    assert not client.challenged(challenged(("WWW-Authenticate", ask.format("4"))))
    ((_, value),) = client.headers("BYE", "sip:b@h")
    assert 'nonce="3"' in value
