"""Finishing recordings: encoded, hashed, uploaded once and verified, deleted in time."""

import hashlib
import logging
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trunkline.calls.processes import identity
from trunkline.calls.recording_manifest import Manifest, read, write
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.recording_queue import RecordingQueue
from trunkline.calls.sealing import open_sealed
from trunkline.calls.sealing_keys import new_key, new_pair
from trunkline.calls.storage import Backoff, Storeroom
from trunkline.calls.storage_s3 import S3Store, StoreError
from trunkline.calls.storage_settings import S3Target, StorageSettings

from .storehouse import BUCKET, Storehouse, recorded, storehouse


@pytest.fixture(scope="module")
def server() -> Iterator[Storehouse]:
    with storehouse() as house:
        yield house


@pytest.fixture
def house(server: Storehouse) -> Storehouse:
    server.empty()
    server.gate.mode = "pass"
    return server


class Room:
    """A storeroom and what it told."""

    def __init__(self, folder: Path, s3: S3Target | None = None, **options: object) -> None:
        self.stored: list[tuple[Path, str]] = []
        self.alarms: list[tuple[str, str]] = []
        keys = [(key.id, key.written()) for key in options.pop("keys", ())]  # type: ignore[attr-defined]
        self.now = time.time()
        self.room = Storeroom(
            StorageSettings(folder=str(folder), keys=keys, s3=s3),
            on_stored=lambda path, manifest, place: self.stored.append((path, place)),
            on_alarm=lambda kind, detail: self.alarms.append((kind, detail)),
            clock=lambda: self.now,
            rng=random.Random(1),
        )

    def run(self, seconds: float = 10.0) -> None:
        """Step until nothing is left."""
        deadline = time.monotonic() + seconds
        while self.room.step():
            assert time.monotonic() < deadline, self.alarms
            time.sleep(0.01)

    def attempt(self) -> None:
        """Everything that can be done now, once."""
        self.room.step()
        while self.room.is_busy:
            time.sleep(0.005)


def unfinished(folder: Path, **options: object) -> tuple[Path, Manifest]:
    """A recording whose process is gone, as after a restart."""
    path, manifest = recorded(folder, **options)  # type: ignore[arg-type]
    number, _, world = identity().split("/", 2)
    manifest.process = f"{number}/0/{world}"
    write(path, manifest)
    return path, manifest


# Here


@pytest.mark.parametrize("format", ["flac", "opus"])
def test_a_wav_becomes_what_is_wanted(tmp_path: Path, format: str) -> None:
    options = RecordingOptions(format=format)  # type: ignore[arg-type]
    path, _ = unfinished(tmp_path, options=options, seconds=2.0)
    room = Room(tmp_path)
    room.run()
    manifest = read(path)
    made = path.with_name(manifest.file)
    assert (manifest.format, manifest.finished, made.suffix) == (format, True, f".{format}")
    assert manifest.sha256 == hashlib.sha256(made.read_bytes()).hexdigest()
    assert manifest.bytes == made.stat().st_size
    assert not list(tmp_path.rglob("*.wav"))
    assert list(RecordingQueue(tmp_path)) == []
    assert room.stored == [(path, str(made))]


def test_nothing_is_touched_while_its_process_records_it(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, options=RecordingOptions(format="flac"))
    room = Room(tmp_path)
    assert room.room.step() == 0
    assert read(path).format == "wav"
    room.room.finished(path)
    room.run()
    assert read(path).format == "flac"


def test_a_step_that_a_kill_cut_off_is_done_again(tmp_path: Path) -> None:
    path, _ = unfinished(tmp_path, options=RecordingOptions(format="flac"))
    # Killed after the new file had its name, and before the manifest said so.
    path.with_name("call.flac").write_bytes(b"half of it")
    path.with_name(".call.flac.tmp").write_bytes(b"half of another")
    Room(tmp_path).run()
    assert path.with_name("call.flac").read_bytes().startswith(b"fLaC")
    assert read(path).sha256 == hashlib.sha256(path.with_name("call.flac").read_bytes()).hexdigest()


def test_a_wav_left_beside_its_flac_is_cleared_away(tmp_path: Path) -> None:
    path, _ = unfinished(tmp_path, options=RecordingOptions(format="flac"))
    wav = path.with_name("call.wav").read_bytes()
    Room(tmp_path).run()
    path.with_name("call.wav").write_bytes(wav)
    RecordingQueue(tmp_path).add(path)
    Room(tmp_path).run()
    assert not path.with_name("call.wav").exists()


def test_a_recording_that_died_is_mended_first(tmp_path: Path) -> None:
    path, manifest = unfinished(tmp_path, options=RecordingOptions(format="flac"), seconds=1.0)
    manifest.state, manifest.duration_seconds = "recording", 0.0
    write(path, manifest)
    with path.with_name("call.wav").open("ab") as file:
        file.write(b"\x01\x02\x03")
    Room(tmp_path).run()
    done = read(path)
    assert (done.state, done.duration_seconds, done.format) == ("crashed", 1.0, "flac")


def test_what_somebody_deleted_is_no_trouble(tmp_path: Path) -> None:
    path, manifest = unfinished(tmp_path, options=RecordingOptions(format="flac"))
    path.with_name(manifest.file).unlink()
    other, _ = unfinished(tmp_path, name="other", options=RecordingOptions(format="flac"))
    other.unlink()
    Room(tmp_path).run()
    assert read(path).error == "its file is gone"
    assert list(RecordingQueue(tmp_path)) == []


def test_a_file_that_cannot_be_encoded_stays_what_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, manifest = unfinished(tmp_path, options=RecordingOptions(format="opus"))
    manifest.rate_hz = 11_025
    write(path, manifest)
    with caplog.at_level(logging.WARNING):
        Room(tmp_path).run()
    done = read(path)
    assert (done.format, done.finished, done.file) == ("wav", True, "call.wav")
    assert "stays a WAV" in caplog.text and "11025" in caplog.text


# Sealed


def test_a_sealed_recording_is_encoded_and_sealed_again(tmp_path: Path) -> None:
    key = new_key()
    path, _ = unfinished(tmp_path, options=RecordingOptions(format="flac"), keys=(key,))
    Room(tmp_path, keys=(key,)).run()
    manifest = read(path)
    data = path.with_name(manifest.file).read_bytes()
    assert manifest.file == "call.flac.sealed"
    assert data.startswith(b"TLSEALED") and b"fLaC" not in data
    assert manifest.key_ids == [key.id]
    assert not list(tmp_path.rglob("*.wav*"))


def test_what_the_node_cannot_read_it_encodes_with_the_files_own_key(tmp_path: Path) -> None:
    public, private = new_pair()
    told: list[bytes] = []
    options = RecordingOptions(format="flac")
    path, _ = recorded(tmp_path, options=options, keys=(public,), data_keys=told)
    lost, _ = recorded(tmp_path, "lost", options=options, keys=(public,))
    room = Room(tmp_path, keys=(public,))
    room.room.finished(path, told[0])
    room.room.finished(lost, told[0])  # not its key, as after a crash: it stays what it is
    room.run()
    assert read(lost).file == "lost.wav.sealed"
    assert read(path).file == "call.flac.sealed"
    with path.with_name("call.flac.sealed").open("rb") as file:
        assert b"".join(open_sealed(file, (private,))).startswith(b"fLaC")


# There


def test_it_is_uploaded_verified_and_then_gone_from_here(tmp_path: Path, house: Storehouse) -> None:
    path, manifest = unfinished(tmp_path, uploads=True)
    wav = path.with_name(manifest.file).read_bytes()
    day = path.parent.name
    room = Room(tmp_path, house.target())
    room.run()
    done = read(path)
    assert house.names() == [f"calls/{day}/call.json", f"calls/{day}/call.wav"]
    assert house.data(f"calls/{day}/call.wav") == wav
    assert b'"finished": true' in house.data(f"calls/{day}/call.json")
    assert not path.with_name("call.wav").exists()
    assert done.upload is not None and done.upload.state == "done" and done.finished
    assert room.stored == [(path, f"s3://{BUCKET}/calls/{day}/call.wav")]


def test_the_file_may_be_kept(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True)
    Room(tmp_path, house.target(keep_local=True)).run()
    assert path.with_name("call.wav").exists()
    assert len(house.names()) == 2


def test_large_files_go_in_parts(tmp_path: Path, house: Storehouse) -> None:
    path, manifest = unfinished(tmp_path, uploads=True)
    file = path.with_name(manifest.file)
    with file.open("ab") as wav:
        wav.write(bytes(range(256)) * 50_000)  # 12.8 MB
    data = file.read_bytes()
    Room(tmp_path, house.target(multipart_bytes=5 << 20)).run(30)
    key = f"calls/{path.parent.name}/call.wav"
    assert house.data(key) == data
    head = house.client.head_object(Bucket=BUCKET, Key=key)
    assert head["ETag"].strip('"').endswith("-3")
    assert not house.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_parts_that_a_crash_left_are_cleared_away(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True)
    key = f"calls/{path.parent.name}/call.wav"
    house.client.create_multipart_upload(Bucket=BUCKET, Key=key)
    Room(tmp_path, house.target()).run()
    assert not house.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_what_is_there_already_is_not_sent_again(tmp_path: Path, house: Storehouse) -> None:
    path, manifest = unfinished(tmp_path, uploads=True)
    store = S3Store(house.target())
    digest = hashlib.sha256(path.with_name(manifest.file).read_bytes()).hexdigest()
    key = store.key(path.parent.name, manifest.file)
    store.upload(path.with_name(manifest.file), key, digest)
    before = house.client.head_object(Bucket=BUCKET, Key=key)["LastModified"]
    sent = house.gate.passed_bytes
    Room(tmp_path, house.target()).run()
    assert house.gate.passed_bytes - sent < path.stat().st_size + 16_000 - manifest.bytes
    assert house.client.head_object(Bucket=BUCKET, Key=key)["LastModified"] == before
    assert len(house.names()) == 2


def test_another_object_of_that_name_is_left_alone(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True)
    key = f"calls/{path.parent.name}/call.wav"
    house.client.put_object(Bucket=BUCKET, Key=key, Body=b"somebody else's")
    Room(tmp_path, house.target()).run()
    assert house.data(key) == b"somebody else's"
    done = read(path)
    assert done.upload is not None
    ours = done.upload.url.removeprefix(f"s3://{BUCKET}/")
    assert ours == key.replace(".wav", f"-{done.sha256[:8]}.wav")
    assert hashlib.sha256(house.data(ours)).hexdigest() == done.sha256


def test_the_server_may_be_asked_to_encrypt(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True)
    Room(tmp_path, house.target(encryption="AES256")).run()
    head = house.client.head_object(Bucket=BUCKET, Key=f"calls/{path.parent.name}/call.wav")
    assert head["ServerSideEncryption"] == "AES256"


def test_an_object_that_is_not_what_was_sent_is_found_out(
    tmp_path: Path, house: Storehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = unfinished(tmp_path, uploads=True)

    def spoil(self: S3Store, file: Path, key: str, sha256: str, keep_days: int) -> None:
        data = bytes(file.stat().st_size)
        self._client.put_object(Bucket=BUCKET, Key=key, Body=data, Metadata={"sha256": sha256})

    monkeypatch.setattr(S3Store, "_put", spoil)
    room = Room(tmp_path, house.target())
    room.attempt()
    assert room.stored == []
    assert path.with_name("call.wav").exists()
    assert "not what was sent" in room.alarms[-1][1]
    monkeypatch.undo()
    room.now += 1000
    room.run()
    assert hashlib.sha256(house.data(house.names()[1])).hexdigest() == read(path).sha256


# Trouble there


@pytest.mark.parametrize("mode", ["500", "403", "silent", "refused"])
def test_a_store_that_is_down_is_waited_for(tmp_path: Path, house: Storehouse, mode: str) -> None:
    path, manifest = unfinished(tmp_path, uploads=True)
    file = path.with_name(manifest.file)
    room = Room(tmp_path, house.target(timeout_seconds=0.3))
    if mode == "refused":
        house.gate.shut()
    else:
        house.gate.mode = mode
    try:
        room.attempt()
        assert room.alarms[-1][0] == "s3" and room.alarms[-1][1]
        assert file.exists() and room.stored == []
        waiting = read(path).upload
        assert waiting is not None
        assert (waiting.state, waiting.attempts) == ("waiting", 1) and waiting.error
        room.attempt()
        assert len(room.alarms) == 1, "it is left alone for a while"
        room.now += 400
        room.attempt()
        assert len(room.alarms) == 2
    finally:
        if mode == "refused":
            house.gate.reopen()
        house.gate.mode = "pass"
    room.now += 400
    room.run()
    assert room.alarms[-1] == ("s3", "")
    assert len(house.names()) == 2 and not file.exists()


def test_a_missing_bucket_is_trouble_of_the_whole_store(tmp_path: Path, house: Storehouse) -> None:
    unfinished(tmp_path, uploads=True)
    room = Room(tmp_path, house.target(bucket="no-such-bucket"))
    room.attempt()
    assert room.alarms and room.alarms[0][0] == "s3"


def test_no_secret_is_in_what_is_told(tmp_path: Path, house: Storehouse) -> None:
    house.gate.mode = "403"
    path, _ = unfinished(tmp_path, uploads=True)
    target = house.target()
    room = Room(tmp_path, target)
    room.attempt()
    said = f"{room.alarms} {path.read_text()} {target!r} {StorageSettings(folder='x', s3=target)!r}"
    assert target.secret_access_key not in said


def test_pauses_grow_to_a_minute_and_differ() -> None:
    backoff = Backoff(random.Random(7))
    now, pauses = 0.0, []
    for _ in range(14):
        pause = backoff.failed(now)
        assert backoff.failed(now) <= pause + 1e-9, "those that were under way fail with it"
        pauses.append(pause)
        now = backoff.until
    for number, pause in enumerate(pauses):
        full = min(60.0, 2.0**number)
        assert full / 2 <= pause <= full
    assert len({round(p / min(60.0, 2.0**n), 6) for n, p in enumerate(pauses)}) > 10
    backoff.worked()
    assert backoff.failed(now) <= 1.0


# Retention


def old(path: Path, when: datetime) -> None:
    manifest = read(path)
    manifest.delete_after = when.isoformat()
    write(path, manifest)


def test_what_was_kept_long_enough_is_deleted_here(tmp_path: Path) -> None:
    kept, _ = unfinished(tmp_path, name="kept", options=RecordingOptions(keep_days=1))
    gone, _ = unfinished(tmp_path, name="gone", options=RecordingOptions(keep_days=1))
    ever, _ = unfinished(tmp_path, name="ever")
    Room(tmp_path).run()
    due = datetime.fromisoformat(read(kept).delete_after).timestamp() - time.time()
    assert 86_000 < due <= 86_400
    assert read(ever).delete_after == ""
    old(gone, datetime(2020, 1, 1, tzinfo=UTC))
    Room(tmp_path).run()
    assert sorted(p.name for p in kept.parent.iterdir()) == [
        "ever.json", "ever.wav", "kept.json", "kept.wav",
    ]  # fmt: skip


def test_and_in_the_bucket(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True, options=RecordingOptions(keep_days=1))
    Room(tmp_path, house.target()).run()
    assert len(house.names()) == 2
    old(path, datetime(2020, 1, 1, tzinfo=UTC))
    Room(tmp_path, house.target()).run()
    assert house.names() == []
    assert not path.exists() and not path.parent.exists()


def test_or_tagged_for_the_buckets_own_rule(tmp_path: Path, house: Storehouse) -> None:
    path, _ = unfinished(tmp_path, uploads=True, options=RecordingOptions(keep_days=30))
    Room(tmp_path, house.target(expire="tag")).run()
    for key in house.names():
        tags = house.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        assert tags == [{"Key": "trunkline-keep-days", "Value": "30"}]
    old(path, datetime(2020, 1, 1, tzinfo=UTC))
    Room(tmp_path, house.target(expire="tag")).run()
    assert len(house.names()) == 2


def test_a_store_that_is_down_keeps_what_is_to_be_deleted(
    tmp_path: Path, house: Storehouse
) -> None:
    path, _ = unfinished(tmp_path, uploads=True, options=RecordingOptions(keep_days=1))
    Room(tmp_path, house.target()).run()
    old(path, datetime(2020, 1, 1, tzinfo=UTC))
    house.gate.mode = "500"
    Room(tmp_path, house.target()).run()
    assert path.exists()


def test_the_store_reads_back_what_it_is_asked_to_check(tmp_path: Path, house: Storehouse) -> None:
    path, manifest = unfinished(tmp_path, uploads=True)
    Room(tmp_path, house.target()).run()
    done = read(path)
    store = S3Store(house.target())
    key = store.key(path.parent.name, manifest.file)
    assert store.check(key, done.sha256) == ""
    assert store.check(key, "00" * 32) == "its content is another"
    assert store.check("none", done.sha256) == "it is not there"
    house.gate.mode = "403"
    with pytest.raises(StoreError, match="403"):
        S3Store(house.target()).check(key, done.sha256)
