"""``trunkline audio inspect``."""

from pathlib import Path

import numpy as np
import pytest

from trunkline.media.wav import parse_wav, serialise_wav


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    noise = np.random.default_rng(1).normal(0, 2000, 16_000).astype(np.int16)
    path.write_bytes(serialise_wav(noise, 8000))
    return path


def test_a_page_and_the_audio_are_written_here(run, tmp_path: Path, speech: Path) -> None:
    ran = run("audio", "inspect", "in.wav", "--loss", "10%", "--burst", "2", "--jitter", "20")
    assert (ran.status, ran.err) == (0, "")
    assert (tmp_path / "in-inspected.html").read_text().startswith("<!doctype html>")
    assert parse_wav((tmp_path / "in-inspected.wav").read_bytes()).rate_hz == 8000
    assert "segmental SNR" in ran.out
    assert "in-inspected.html" in ran.out


def test_every_part_can_be_chosen(run, tmp_path: Path, speech: Path) -> None:
    ran = run(
        *("audio", "inspect", "in.wav", "--far", "in.wav", "--loss", "0.1", "--seed", "7"),
        *("--concealment", "simple", "--echo", "nlms", "--noise", "spectral"),
        *("--strength", "0.5", "--rate", "16000", "--codec", "g722", "-o", "page.html", "--json"),
    )
    assert (ran.status, ran.err) == (0, "")
    data = ran.data
    assert (data["echo"], data["noise"], data["codec"]) == ("nlms", "spectral", "G722")
    assert data["rate_hz"] == 16000
    assert data["scores"]["erle_db"] is not None
    assert data["counters"]["packets_lost"] > 0
    assert (data["page"], data["output"]) == ("page.html", "page.wav")


def test_the_same_flags_give_the_same_audio(run, tmp_path: Path, speech: Path) -> None:
    made = []
    for name in ("a.html", "b.html"):
        assert run("audio", "inspect", "in.wav", "--loss", "20%", "-o", name).status == 0
        made.append((tmp_path / name).with_suffix(".wav").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--loss", "10"], "10% or 0.1"),
        (["--loss", "lots"], "10% or 0.1"),
        (["--loss=-1%"], "10% or 0.1"),
        (["--loss", "nan"], "10% or 0.1"),
        (["--burst", "0"], "a burst"),
        (["--jitter", "-3"], "the jitter"),
        (["--seed", "-1"], "a seed"),
        (["--rate", "12345"], "12345"),
        (["--rate", "100"], "8000 to 48000"),
        (["--channel", "2"], "no channel 2"),
        (["--noise", "magic"], "logmmse"),
        (["--noise", "logmmse", "--strength", "3"], "the strength"),
        (["--concealment", "magic"], "pitch"),
        (["--echo", "kalman"], "--far"),
        (["--far", "nowhere.wav"], "nowhere.wav"),
        (["-o", "nowhere/page.html"], "cannot write"),
        (["-o", "in.html"], "not replaced"),
        (["-o", "new.wav"], "page.html"),
        (["-o", "."], "page.html"),
        (["-o", ".."], "page.html"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, speech: Path, flags: list[str], said: str) -> None:
    before = speech.read_bytes()
    ran = run("audio", "inspect", "in.wav", *flags)
    assert ran.status == 2
    assert ran.err.startswith("trunkline: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert speech.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 400, b"RIFF\x00\x00\x00\x00WAVE", b"<html>"])
def test_a_file_that_is_no_wav_is_said_in_one_line(run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "odd.wav").write_bytes(data)
    ran = run("audio", "inspect", "odd.wav")
    assert ran.status == 2
    assert ran.err.startswith("trunkline: odd.wav: this ")
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))
