"""Forty-nine messages that do what those of RFC 4475 do, under the RFC's names.

The wording is ours, the trap in each is the RFC's. ``verdicts`` are the statuses that a
user agent without a registrar may answer with; an empty set is silence. ``stream``
says what else may happen over TCP and TLS, where a wrong length ends the connection.
"""

# ruff: noqa: E501

from dataclasses import dataclass

__all__ = ["MESSAGES", "Torture"]

ANSWERED = frozenset({100, 180, 200, 404, 480, 488})
"""The call is taken for what it is; what becomes of it is the application's affair."""
NO_REGISTRAR = frozenset({400, 401, 403, 404, 405, 501})
SILENCE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Torture:
    """One message and what the RFC makes of it."""

    name: str
    section: str
    data: bytes
    verdicts: frozenset[int]
    closes: bool = False
    """Over a stream the connection may, or must, end: where the message ends is unknown."""
    waits: bool = False
    """Over a stream more is waited for."""


MESSAGES: list[Torture] = []

SDP = (
    "v=0\r\no=lab 4711 815 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 39000 RTP/AVP 0 12\r\nm=video 39002 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
)


def _add(
    name: str,
    section: str,
    text: str | bytes,
    verdicts: set[int] | frozenset[int],
    *,
    body: str = "",
    closes: bool = False,
    waits: bool = False,
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    data = data.replace(b"\n", b"\r\n") + b"\r\n" + body.encode()
    data = data.replace(b"@LENGTH@", str(len(body.encode())).encode())
    MESSAGES.append(Torture(name, section, data, frozenset(verdicts), closes, waits))


def _invite(name: str, section: str, lines: str, verdicts: set[int] | frozenset[int]) -> None:
    _add(name, section, lines + "Content-Type: application/sdp\nContent-Length: @LENGTH@\n",
         verdicts, body=SDP)  # fmt: skip


# 3.1.1 Parser: valid messages.

_invite(
    "wsinv",
    "3.1.1.1",
    r"""INVITE sip:lena@desk-17.example.com;novelparam SIP/2.0
TO :
 sip:lena@desk-17.example.com ;   tag    = 47110815n
from   : "M Okafor \\\""       <sip:okafor@example.com>
  ;
  tag = 41asdf7
MaX-fOrWaRdS: 0068
Call-ID: wsinv.first@192.0.2.1
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=114skdjuw
s :
SomethingNew:   a new value
 that goes on
NobodyKnowsThisHeader: ;;,,;;,;
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spool.example.com   ;
  branch  =   z9hG4bK7ikj8  ,
 SIP  /    2.0   / UDP  192.168.0.111   ; branch=
 z9hG4bK10239
m:"A quoted string \"\"" <sip:okafor@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
""",
    {481},
)  # its To has a tag: it is in a dialog nobody knows

_add(
    "intmeth",
    "3.1.1.2",
    b"".join(
        (
            b"!Fancy-Method9876543210_*+`.%truly'~ "
            b"sip:1_odd.URI~(to-be!sure)&wasn't+it$/mad?,/;;*:&it+was=1,odd!*pas$wo~d_also.(wasn't-it)"
            b"@example.com SIP/2.0\n",
            b"Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK-.!%66*_+`'~\n",
            b'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_odd.URI~(to-be!sure)&wasn\'t+it$/mad?,/;;*'
            b"@example.com>\n",
            b"From: word1~` word2'+_ word3*%!.- <sip:plain@example.com>"
            b";oddParam''~+*_!.-%=\"" + "прилежный".encode() + b"\";tag=_word~1'+`*%!-.\n",
            b"Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\n",
            b"CSeq: 139122385 !Fancy-Method9876543210_*+`.%truly'~\nMax-Forwards: 255\n",
            b"extensionHeader-!.%*+_`'~:" + "\ufeff大雷雨".encode() + b"\nContent-Length: 0\n",
        )
    ),
    {501},
)

_invite(
    "esc01",
    "3.1.1.3",
    """INVITE sip:sips%3Aguest%40example.com@example.net SIP/2.0
To: sip:%67ues%74@example.com
From: <sip:Two%20words%20here@example.net>;tag=938
Max-Forwards: 87
i: esc01.escapes-everywhere
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
Contact:
  <sip:cal%6Cer@127.0.0.1;%6C%72;n%61me=v%61lue%25%34%31>
""",
    ANSWERED,
)

_add(
    "escnull",
    "3.1.1.4",
    """REGISTER sip:example.com SIP/2.0
To: sip:zero-%00-zero@example.com
From: sip:zero-%00-zero@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.nulls-in-names
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0
""",
    NO_REGISTRAR - {400},
)

_add(
    "esc02",
    "3.1.1.5",
    """RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:thing@example.com>
From: "%Z%45" <sip:thing@example.com>;tag=f232jadfj23
Call-ID: esc02.percent-is-a-letter
Via: SIP/2.0/UDP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:first@host1.example.com>
C%6Fntact: <sip:second@host2.example.com>
Contact: <sip:third@host3.example.com>
l: 0
""",
    {501},
)

_add(
    "lwsdisp",
    "3.1.1.6",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: visitor<sip:visitor@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.no-space-before-the-bracket
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP lab.example.com;branch=z9hG4bKkdjuw
l: 0
""",
    {200},
)

_LONG = "long" * 40
_VIA_NAMES = ["Via", "v", "V", "Via", "ViA", "VIa", "VIA", "via", "viA", "vIa", "vIA",
              "V ", "v ", "V  ", "v  ", "Via ", "Via  "]  # fmt: skip
_VIAS = "".join(
    f"{_VIA_NAMES[n] if n < len(_VIA_NAMES) else 'Via'}: SIP/2.0/TCP hop{33 - n}.example.com\n"
    for n in range(33)
)
_invite(
    "longreq",
    "3.1.1.7",
    (
        f'INVITE sip:user@example.com SIP/2.0\nTo: "A name of {"very" * 30} great length"'
        f"<sip:user@example.com:6000;unknown1=v{_LONG}value;p{_LONG}name=short;{_LONG}NoValue>\n"
        f"F: sip:caller{_LONG}@example.net;tag=12{'982' * 50};h{_LONG}name=h{_LONG}value;{_LONG}Name\n"
        f"Call-ID: longreq.one{'really' * 20}longcallid\nCSeq: 3882340 INVITE\n"
        f"Unknown-{_LONG}-Name: unknown-{_LONG}-value; unknown-{_LONG}-name = unknown-{_LONG}-value\n"
        f"{_VIAS}Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{_LONG}branch\n"
        f"Max-Forwards: 70\nContact: <sip:caller{_LONG}@127.0.0.1>\n"
    ),
    ANSWERED,
)

_add(
    "dblreq",
    "3.1.1.8",
    """REGISTER sip:example.com SIP/2.0
To: sip:k.user@example.com
From: sip:k.user@example.com;tag=43251k3k324
Max-Forwards: 8
I: dblreq.two-in-one-datagram
Contact: sip:k.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0

INVITE sip:joan@example.com SIP/2.0
t: sip:joan@example.com
From: sip:caller@example.net;tag=141334
Max-Forwards: 8
Call-ID: dblreq.second@192.0.2.15
CSeq: 8 INVITE
Contact: <sip:caller@127.0.0.1>
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234
Content-Type: application/sdp
Content-Length: @LENGTH@
""",
    NO_REGISTRAR,
    body=SDP,
)

_add(
    "semiuri",
    "3.1.1.9",
    """OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:k_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.semicolon-in-the-user
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0
""",
    {200},
)

_add(
    "transports",
    "3.1.1.10",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.every-kind
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0
""",
    {200},
)

_PARTS = (
    "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    "Good day\r\n--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n"
    "\x00\x01\x02 --7a9cbec02ceef65 \r\n--7a9cbec02ceef655--\r\n"
)
_add(
    "mpart01",
    "3.1.1.11",
    """MESSAGE sip:kim@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuL
Contact: <sip:fluff@127.0.0.1:5070>
To: <sip:kim@example.org>
From: <sip:fluff@example.com>;tag=2fb0dcc9
Call-ID: mpart01.binary-parts
CSeq: 1 MESSAGE
Date: Sat, 15 Oct 2005 04:44:56 GMT
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Content-Length: @LENGTH@
""",
    {200, 405, 415},
    body=_PARTS,
)

_add(
    "unreason",
    "3.1.1.12",
    """SIP/2.0 200 = 2**3 * 5**2 а сто девяносто девять - простое
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Call-ID: unreason.a-phrase-in-letters
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Type: application/sdp
Contact: <sip:user@host198.example.com>
Content-Length: @LENGTH@
""",
    SILENCE,
    body=SDP,
)

_add(
    "noreason",
    "3.1.1.13",
    """SIP/2.0 100\x20
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.no-phrase
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
""",
    SILENCE,
)

# 3.1.2 Parser: invalid messages.

_invite(
    "badinv01",
    "3.1.2.1",
    """INVITE sip:user@example.com SIP/2.0
To: sip:k.user@example.com
From: sip:caller@example.net;tag=134161461246
Max-Forwards: 7
Call-ID: badinv01.separators-without-values
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;;,;,,
Contact: "Joan" <sip:joan@example.org>;;;;
""",
    {400},
)

_add(
    "clerr",
    "3.1.2.2",
    """INVITE sip:user@example.com SIP/2.0
Max-Forwards: 80
To: sip:k.user@example.com
From: sip:caller@example.net;tag=93942939o2
Contact: <sip:caller@hungry.example.net>
Call-ID: clerr.more-promised-than-sent
CSeq: 8 INVITE
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bK-39234-23523
Content-Type: application/sdp
Content-Length: 9999
""",
    {400},
    body=SDP,
    waits=True,
)

_add(
    "ncl",
    "3.1.2.3",
    """INVITE sip:user@example.com SIP/2.0
Max-Forwards: 254
To: sip:k.user@example.com
From: sip:caller@example.net;tag=32394234
Call-ID: ncl.less-than-nothing
CSeq: 0 INVITE
Via: SIP/2.0/UDP 192.0.2.53;branch=z9hG4bKkdjuw
Contact: <sip:caller@host53.example.net>
Content-Type: application/sdp
Content-Length: -999
""",
    {400},
    body=SDP,
    closes=True,
)

_add(
    "scalar02",
    "3.1.2.4",
    f"""REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP host129.example.com;branch=z9hG4bK342sdfoi3
To: <sip:user@example.com>
From: <sip:user@example.com>;tag=239232jh3
CSeq: 36893488147419103232 REGISTER
Call-ID: scalar02.numbers-out-of-range
Max-Forwards: 300
Expires: 1{"0" * 100}
Contact: <sip:user@host129.example.com>
  ;expires=280297596632815
Content-Length: 0
""",
    {400},
)

_add(
    "scalarlg",
    "3.1.2.5",
    """SIP/2.0 503 Service Unavailable
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129
To: <sip:user@example.com>
From: <sip:other@example.net>;tag=2easdjfejw
CSeq: 9292394834772304023312 OPTIONS
Call-ID: scalarlg.a-response-out-of-range
Retry-After: 949302838503028349304023988
Warning: 1812 overture "In Progress"
Content-Length: 0
""",
    SILENCE,
)

_invite(
    "quotbal",
    "3.1.2.6",
    """INVITE sip:user@example.com SIP/2.0
To: "Ms. K. User <sip:k.user@example.com>
From: sip:caller@example.net;tag=93334
Max-Forwards: 10
Call-ID: quotbal.a-quote-never-closed
Contact: <sip:caller@host59.example.net>
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234
""",
    {400},
)

_invite(
    "ltgtruri",
    "3.1.2.7",
    """INVITE <sip:user@example.com> SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=39291
Max-Forwards: 23
Call-ID: ltgtruri.brackets@192.0.2.5
CSeq: 1 INVITE
Via: SIP/2.0/UDP 192.0.2.5
Contact: <sip:caller@host5.example.net>
""",
    {400},
)

_invite(
    "lwsruri",
    "3.1.2.8",
    """INVITE sip:user@example.com; lr SIP/2.0
To: sip:user@example.com;tag=3xfe-9921883-z9f
From: sip:caller@example.net;tag=231413434
Max-Forwards: 5
Call-ID: lwsruri.a-space-in-the-address
CSeq: 2130706432 INVITE
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKkdjuw2395
Contact: <sip:caller@host1.example.net>
""",
    {400},
)

_invite(
    "lwsstart",
    "3.1.2.9",
    """INVITE  sip:user@example.com  SIP/2.0
Max-Forwards: 8
To: sip:user@example.com
From: sip:caller@example.net;tag=8814
Call-ID: lwsstart.two-spaces@example.com
CSeq: 1893884 INVITE
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw3923
Contact: <sip:caller@127.0.0.1>
""",
    {400},
)

_add(
    "trws",
    "3.1.2.10",
    """OPTIONS sip:remote-target@example.com SIP/2.0  \x20
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bK299342093
To: <sip:remote-target@example.com>
From: <sip:local-resource@example.com>;tag=329429089
Call-ID: trws.spaces-at-the-end
Accept: application/sdp
CSeq: 238923 OPTIONS
Max-Forwards: 70
Content-Length: 0
""",
    {400},
)

_invite(
    "escruri",
    "3.1.2.11",
    """INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=341518
Max-Forwards: 7
Contact: <sip:caller@host39923.example.net>
Call-ID: escruri.headers-in-the-address
CSeq: 149209342 INVITE
Via: SIP/2.0/UDP host-of-the-hour.example.com;branch=z9hG4bKkdjuw
""",
    {400},
)

_invite(
    "baddate",
    "3.1.2.12",
    """INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=2234923
Max-Forwards: 70
Call-ID: baddate.not-in-gmt
CSeq: 1392934 INVITE
Via: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw
Date: Fri, 01 Jan 2010 16:00:00 EST
Contact: <sip:caller@127.0.0.1>
""",
    ANSWERED | {400},
)  # to be liberal and leave the field alone is what the RFC allows

_add(
    "regbadct",
    "3.1.2.13",
    """REGISTER sip:example.com SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=998332
Max-Forwards: 70
Call-ID: regbadct.ambiguous@10.0.0.1
CSeq: 1 REGISTER
Via: SIP/2.0/UDP 192.0.2.133:5060;branch=z9hG4bKkdjuw
Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E
l: 0
""",
    {400},
)

_add(
    "badaspec",
    "3.1.2.14",
    """OPTIONS sip:user@example.org SIP/2.0
Via: SIP/2.0/UDP host4.example.com:5060;branch=z9hG4bKkdju43234
Max-Forwards: 70
From: "Bell, Ada" <sip:a.bell@example.com>;tag=433423
To: "Watson, Thea" < sip:t.watson@example.org >
Call-ID: badaspec.spaces-inside-brackets@host4
Accept: application/sdp
CSeq: 3923239 OPTIONS
l: 0
""",
    {200, 400},
)

_add(
    "baddn",
    "3.1.2.15",
    """OPTIONS sip:t.watson@example.org SIP/2.0
Via:     SIP/2.0/UDP c.example.com:5060;branch=z9hG4bKkdjuw
Max-Forwards:      70
From:    Bell, Ada <sip:a.g.bell@example.com>;tag=43
To:      Watson, Thea <sip:t.watson@example.org>
Call-ID: baddn.a-comma-in-the-name@c.example.com
CSeq:    3923239 OPTIONS
l: 0
""",
    {200, 400},
)

_add(
    "badvers",
    "3.1.2.16",
    """OPTIONS sip:t.watson@example.org SIP/7.0
Via:     SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw
Max-Forwards:     70
From:    A. Bell <sip:a.g.bell@example.com>;tag=qweoiqpe
To:      T. Watson <sip:t.watson@example.org>
Call-ID: badvers.from-the-future@c.example.com
CSeq:    1 OPTIONS
l: 0
""",
    {505},
)

_add(
    "mismatch01",
    "3.1.2.17",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:k.user@example.com
From: sip:caller@example.net;tag=34525
Max-Forwards: 6
Call-ID: mismatch01.says-two-things
CSeq: 8 INVITE
Via: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw
l: 0
""",
    {400},
)

_add(
    "mismatch02",
    "3.1.2.18",
    """NEWMETHOD sip:user@example.com SIP/2.0
To: sip:k.user@example.com
From: sip:caller@example.net;tag=34525
Max-Forwards: 6
Call-ID: mismatch02.says-two-things
CSeq: 8 INVITE
Contact: <sip:caller@host.example.net>
Via: SIP/2.0/UDP host.example.net;branch=z9hG4bKkdjuw
Content-Type: application/sdp
l: @LENGTH@
""",
    {400, 501},
    body=SDP,
)

_add(
    "bigcode",
    "3.1.2.19",
    """SIP/2.0 4294967301 better not break the receiver
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: bigcode.a-status-of-33-bits
CSeq: 353494 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
""",
    SILENCE,
)

# 3.2 Transactions.

_add(
    "badbranch",
    "3.2.1",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK
Accept: application/sdp
Call-ID: badbranch.nothing-after-the-cookie
CSeq: 8 OPTIONS
l: 0
""",
    {200, 400},
)

# 3.3 Applications.

_add(
    "insuf",
    "3.3.1",
    """INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: @LENGTH@
""",
    {400},
    body=SDP,
)

_add(
    "unkscm",
    "3.3.2",
    """OPTIONS aSchemeOfNobody:opaquecontent SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=384
Max-Forwards: 3
Call-ID: unkscm.unknown-to-us
CSeq: 3923423 OPTIONS
Via: SIP/2.0/UDP host9.example.com;branch=z9hG4bKkdjuw39234
Content-Length: 0
""",
    {416},
)

_add(
    "novelsc",
    "3.3.3",
    """OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=384
Max-Forwards: 3
Call-ID: novelsc.known-elsewhere
CSeq: 3923423 OPTIONS
Via: SIP/2.0/UDP host9.example.com;branch=z9hG4bKkdjuw39234
Content-Length: 0
""",
    {416},
)

_add(
    "unksm2",
    "3.3.4",
    """REGISTER sip:example.com SIP/2.0
To: isbn:2983792873
From: <http://www.example.com>;tag=3234233
Call-ID: unksm2.schemes@hyphenated-host.example.com
CSeq: 234902 REGISTER
Max-Forwards: 70
Via: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKkdjuw
Contact: <name:Jo_Smith>
l: 0
""",
    NO_REGISTRAR,
)

_add(
    "bext01",
    "3.3.5",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:k_user@example.com
From: sip:caller@example.net;tag=242etr
Max-Forwards: 6
Call-ID: bext01.wants-the-impossible
Require: nothingHasThis, norThis
Proxy-Require: noProxyHasThis, norHasAnyThis
CSeq: 8 OPTIONS
Via: SIP/2.0/UDP fold-and-staple.example.com;branch=z9hG4bKkdjuw
Content-Length: 0
""",
    {420},
)

_add(
    "invut",
    "3.3.6",
    """INVITE sip:user@example.com SIP/2.0
Contact: <sip:caller@host5.example.net>
To: sip:k.user@example.com
From: sip:caller@example.net;tag=8392034
Max-Forwards: 70
Call-ID: invut.a-body-of-another-kind
CSeq: 235448 INVITE
Via: SIP/2.0/UDP somehost.example.com;branch=z9hG4bKkdjuw
Content-Type: application/unheardof
Content-Length: @LENGTH@
""",
    {415},
    body='<audio>\r\n <pcmu port="443"/>\r\n</audio>\r\n',
)

_add(
    "regaut01",
    "3.3.7",
    """REGISTER sip:example.com SIP/2.0
To: sip:k.user@example.com
From: sip:k.user@example.com;tag=87321hj23128
Max-Forwards: 8
Call-ID: regaut01.a-scheme-of-its-own
CSeq: 9338 REGISTER
Via: SIP/2.0/UDP 192.0.2.253;branch=z9hG4bKkdjuw
Authorization: NobodyHasThisScheme opaque-data=here
Content-Length:0
""",
    NO_REGISTRAR - {400},
)

_invite(
    "multi01",
    "3.3.8",
    """INVITE sip:user@example.org SIP/2.0
Contact: <sip:caller@host25.example.net>
Via: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw
Max-Forwards: 70
CSeq: 5 INVITE
Call-ID: multi01.one@192.0.2.1
CSeq: 59 INVITE
Call-ID: multi01.two@192.0.2.2
From: sip:caller@example.com;tag=3413415
To: sip:user@example.com
To: sip:other@example.net
From: sip:caller@example.net;tag=2923420123
Contact: <sip:caller@host36.example.net>
Max-Forwards: 5
""",
    {400},
)

_add(
    "mcl01",
    "3.3.9",
    """OPTIONS sip:user@example.com SIP/2.0
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bK293423
To: sip:user@example.com
From: sip:other@example.net;tag=3923942
Call-ID: mcl01.which-of-the-two
CSeq: 15932 OPTIONS
Content-Length: 13
Max-Forwards: 60
Content-Length: 5
Content-Type: text/plain
""",
    {400},
    body="Nobody can tell how much of this belongs to the message.\r\n",
    closes=True,
)

_add(
    "bcast",
    "3.3.10",
    """SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23
Call-ID: bcast.to-everybody
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Type: application/sdp
Contact: <sip:user@host28.example.com>
Content-Length: @LENGTH@
""",
    SILENCE,
    body=SDP,
)

_add(
    "zeromf",
    "3.3.11",
    """OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=3ghsd41
Call-ID: zeromf.the-last-hop
CSeq: 39234321 OPTIONS
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw2349i
Max-Forwards: 0
Content-Length: 0
""",
    {200, 483},
)

_add(
    "cparam01",
    "3.3.12",
    """REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKkdjuw
Max-Forwards: 70
From: sip:watson@example.com;tag=DkfVgjkrtMwaerKKpe
To: sip:watson@example.com
Call-ID: cparam01.the-contacts-parameter@saturn.example.com
CSeq: 2 REGISTER
Contact: sip:+15555552222@gw1.example.net;unknownparam
l: 0
""",
    NO_REGISTRAR - {400},
)

_add(
    "cparam02",
    "3.3.13",
    """REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKkdjuw
Max-Forwards: 70
From: sip:watson@example.com;tag=838293
To: sip:watson@example.com
Call-ID: cparam02.the-addresss-parameter@saturn.example.com
CSeq: 3 REGISTER
Contact: <sip:+15555552222@gw1.example.net;unknownparam>
l: 0
""",
    NO_REGISTRAR - {400},
)

_add(
    "regescrt",
    "3.3.14",
    """REGISTER sip:example.com SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=8
Max-Forwards: 70
Call-ID: regescrt.an-escaped-route@192.0.2.1
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
M: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>
L:0
""",
    NO_REGISTRAR - {400},
)

_invite(
    "sdp01",
    "3.3.15",
    """INVITE sip:user@example.com SIP/2.0
To: sip:k_user@example.com
Contact: <sip:caller@127.0.0.1>
From: sip:caller@example.net;tag=234
Max-Forwards: 5
Call-ID: sdp01.takes-no-session-description
Accept: text/nobodyHasThis
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw
""",
    {406},
)

# 3.4 Backward compatibility.

_add(
    "inv2543",
    "3.4.1",
    """INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP gateway.example.com
From: <sip:+15555551111@client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=127.0.0.1>
To: sip:+15555552222@ss1.example.net;user=phone
Call-ID: inv2543.from-another-age@client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp
""",
    ANSWERED,
    body=SDP.partition("m=video")[0],
    closes=True,
)
