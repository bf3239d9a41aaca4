"""The queue of what is not finished, and options over options."""

from pathlib import Path

import pytest

from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.recording_queue import RecordingQueue, hash_of
from trunkline.calls.storage_settings import keys_of, storage_settings
from trunkline.errors import UsageError
from trunkline.settings import S3, Recording, Secret


def test_what_began_is_there_until_it_is_finished(tmp_path: Path) -> None:
    queue = RecordingQueue(tmp_path)
    assert list(queue) == []
    later = tmp_path / "2026-11-21" / "a.json"
    earlier = tmp_path / "2026-11-20" / "b~2.json"
    for path in (later, earlier, later):
        queue.add(path)
    assert list(RecordingQueue(tmp_path)) == [earlier, later]
    queue.remove(earlier)
    queue.remove(earlier)
    assert list(queue) == [later]


def test_other_files_in_its_place_are_no_recordings(tmp_path: Path) -> None:
    queue = RecordingQueue(tmp_path)
    queue.add(tmp_path / "2026-11-20" / "a.json")
    for name in (".lock", ".alarms.json", "notes", ".x~y"):
        (queue.place / name).write_text("")
    assert [path.name for path in queue] == ["a.json"]


def test_a_hash_is_of_all_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_what_options_do_not_say_is_as_the_others_say() -> None:
    usual = RecordingOptions("wav", "stereo", "both", 0)
    assert RecordingOptions(mix="mono").over(usual) == RecordingOptions("wav", "mono", "both", 0)
    assert RecordingOptions(keep_days=0).over(RecordingOptions(keep_days=9)).keep_days == 0
    assert RecordingOptions().over(usual) == usual


def test_the_settings_say_where_and_with_what() -> None:
    s3 = S3(bucket="b", prefix="/calls/", secret_access_key=Secret("very secret"), multipart_mb=8)
    made = storage_settings(Recording(s3=s3, retention_days_by_app={"a": 1}))
    assert made.s3 is not None and made.stays
    assert (made.s3.prefix, made.s3.multipart_bytes) == ("calls", 8 << 20)
    assert made.s3.secret_access_key == "very secret"
    assert "very secret" not in repr(made) + repr(made.s3) + str(made)
    plain = storage_settings(Recording())
    assert plain.s3 is None and plain.keys == [] and not plain.stays


def test_keys_are_read_from_the_settings() -> None:
    settings = Recording(encryption_key=Secret("ab" * 32), encryption_key_id="2026")
    (key,) = keys_of(settings)
    assert (key.kind, key.id, key.material) == ("secret", "2026", b"\xab" * 32)
    assert storage_settings(settings).sealing_keys() == (key,)
    assert keys_of(Recording()) == ()
    with pytest.raises(UsageError):
        keys_of(Recording(encryption_recipients=("alice",)))
