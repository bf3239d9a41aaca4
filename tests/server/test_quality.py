"""A call's quality in words."""

from trunkline.server.quality import quality_lines

GOOD = {
    "received": 2888.0, "lost": 0.0, "late": 0.0, "packets_sent": 2892.0, "jitter_ms": 1.31,
    "rtt_ms": 1.6, "delay_ms": 21.2, "target_ms": 10.0, "concealed_frames": 0.0,
    "remote_loss": 0.0, "remote_jitter_ms": 7.6,
}  # fmt: skip


def test_a_good_line() -> None:
    assert dict(quality_lines(GOOD, 58.0)) == {
        "packets": "2,888 received, none lost, none too late, 2,892 sent",
        "jitter": "1.3 ms between packets",
        "round trip": "1.6 ms to the other end and back",
        "delay": "21 ms in the jitter buffer; it aims at 10 ms",
        "concealed": "nothing: no gap had to be filled",
        "other end": "saw 0.0% loss and 7.6 ms of jitter",
    }


def test_a_bad_line() -> None:
    bad = {**GOOD, "lost": 112.0, "late": 30.0, "duplicate": 2.0, "reordered": 9.0}
    lines = dict(quality_lines({**bad, "concealed_frames": 142.0, "remote_loss": 0.125}, 50.0))
    assert lines["packets"] == (
        "2,888 received, 112 lost (3.7%), 30 too late (1.0%), 2 twice, 9 out of order, 2,892 sent"
    )
    assert lines["concealed"] == "2.84 s of gaps were filled with made-up sound (5.7% of the call)"
    assert lines["other end"].startswith("saw 12.5% loss")


def test_what_is_not_known_is_passed_over() -> None:
    assert quality_lines({}, 10.0) == []
    assert quality_lines({"rtt_ms": None, "jitter_ms": 2.0}, 0.0) == [
        ("jitter", "2.0 ms between packets")
    ]
    assert dict(quality_lines({"received": 0.0, "lost": 0.0}, 0.0)) == {
        "packets": "0 received, none lost"
    }
    assert "made-up" in dict(quality_lines({"concealed_frames": 3.0}, 0.0))["concealed"]


def test_a_delay_is_never_negative() -> None:
    assert dict(quality_lines({"delay_ms": -3.0}, 1.0))["delay"] == "0 ms in the jitter buffer"


def test_what_the_chain_did() -> None:
    chain = {"erle_db": 26.4, "echo_delay_ms": 120.0, "noise_dbov": -61.2, "chain_mended": 2.0}
    assert dict(quality_lines({**chain, "chain_faults": 0.0}, 1.0)) == {
        "echo": "26 dB taken out, 120 ms or more after it was sent",
        "noise": "-61 dBov on the line",
        "faults": "a stage of the audio path began anew 2 times",
    }
    assert dict(quality_lines({"erle_db": 0.0, "chain_mended": 0.0}, 1.0)) == {"echo": "none found"}
    assert dict(quality_lines({"erle_db": 9.0}, 1.0)) == {"echo": "9 dB taken out"}
