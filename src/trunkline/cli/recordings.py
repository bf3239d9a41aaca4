"""``trunkline recordings``: what was recorded, whether it is whole, and in the clear again."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from trunkline.calls.alarms import alarms_of
from trunkline.calls.errors import RecordingError
from trunkline.calls.recording_file import SEALED_SUFFIX
from trunkline.calls.recording_manifest import SUFFIX, Manifest, manifests, plain, read
from trunkline.calls.recording_queue import RecordingQueue, hash_of
from trunkline.calls.recording_recovery import is_orphan
from trunkline.calls.sealing_keys import SealingKey, new_key, new_pair, parse_keys
from trunkline.calls.wav import salvage
from trunkline.errors import UsageError
from trunkline.settings import Secret, Settings

from .arguments import Common
from .output import clock_time, console, print_json, seconds, table, text

__all__ = ["app"]

app = App(name="recordings", help="The recordings of calls: list, verify, decrypt, upload.")

Flag = Parameter(negative=())


@app.default
@app.command(name="list")
def recordings(
    *,
    common: Common | None = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"])] = 20,
    json: Annotated[bool, Flag] = False,
) -> None:
    """List recordings, the newest day first, and what is wrong with them now.

    Example: `trunkline recordings -n 100`

    Parameters
    ----------
    limit
        How many.
    json
        As JSON.
    """
    folder = _settings(common).recording.folder
    found = [one for one, _ in zip(manifests(folder), range(limit), strict=False)]
    alarms = alarms_of(folder)
    if json:
        listed = [{**plain(manifest), "manifest": str(path)} for path, manifest in found]
        wrong = [{"kind": a.kind, "detail": a.detail, "since": a.since} for a in alarms]
        print_json({"recordings": listed, "alarms": wrong})
        return
    out = console()
    for alarm in alarms:
        since = clock_time(alarm.since)
        out.print(text(f"ALARM {alarm.kind} since {since}: {alarm.detail}", "bold red"))
    if not found:
        out.print("There are no recordings yet.")
        return
    listing = table("began", "recording", "from", "to", "length", "format", "state")
    for path, manifest in found:
        listing.add_row(
            text(manifest.started[:19].replace("T", " ")), text(path.stem), text(manifest.caller),
            text(manifest.callee), seconds(manifest.duration_seconds), _format(manifest),
            _state(path, manifest),
        )  # fmt: skip
    out.print(listing)


@app.command
def show(id: str, /, *, common: Common | None = None) -> None:
    """Show the manifest of one recording, as JSON.

    Example: `trunkline recordings show call_1f3a`

    Parameters
    ----------
    id
        The recording's or the call's id; its beginning is enough. Or a manifest's path.
    """
    path, manifest = _one(id, _settings(common).recording.folder)
    print_json({**plain(manifest), "manifest": str(path)})


@app.command
def verify(
    *ids: str,
    common: Common | None = None,
    store: Annotated[bool, Flag] = False,
    key: tuple[str, ...] = (),
) -> int:
    """Compute the hashes again; exit status 1 when a recording is not what was recorded.

    Examples: `trunkline recordings verify`, `trunkline recordings verify call_1f3a --store`

    Parameters
    ----------
    ids
        Which; all of them unless given.
    store
        Read what was uploaded, too.
    key
        Open what is encrypted, too, with this key (see decrypt).
    """
    settings = _settings(common)
    folder = settings.recording.folder
    found = [_one(id, folder) for id in ids] if ids else list(manifests(folder))
    keys = _keys(key)
    bad = 0
    for path, manifest in found:
        said = _verified(path, manifest, settings, store=store, keys=keys)
        bad += said.startswith("BAD")
        style = "bold red" if said[:3] == "BAD" else ""
        console().print(text(f"{path.stem}: {said}", style), soft_wrap=True)
    return 1 if bad else 0


@app.command
def decrypt(
    file: Path,
    /,
    *,
    key: tuple[str, ...],
    to: Path | None = None,
) -> int:
    """Write an encrypted recording in the clear; exit status 1 when it was cut short.

    What a crash left is written up to its last second.

    Example: `trunkline recordings decrypt call_1f3a.wav.sealed --key env:RECORDINGS_KEY`

    Parameters
    ----------
    file
        The recording (.sealed).
    key
        A key: "file:PATH", "env:NAME", or as it is. May be given several times, for
        recordings made before and after a rotation.
    to
        Where to; by default the file's name without .sealed.
    """
    # Here and not above: only those who encrypt need the package.
    from trunkline.calls.sealing import open_sealed

    target = to or Path(str(file).removesuffix(SEALED_SUFFIX))
    if target == file:
        raise UsageError(f"{file} is not named ...{SEALED_SUFFIX}: say where to with --to")
    keys = _keys(key)
    try:
        with file.open("rb") as source:
            opened = open_sealed(source, keys)
            with target.open("xb") as out:
                target.chmod(0o600)
                for piece in opened:
                    out.write(piece)
    except OSError as error:
        raise UsageError(f"cannot decrypt {file} to {target}: {error.strerror}") from error
    if target.suffix == ".wav":
        salvage(target)  # its header was written before its length was known
    whole = "" if opened.whole else " It was cut short: this is what was written until then."
    _say(f"The recording is in {target}.{whole}")
    return 0 if opened.whole else 1


@app.command
def upload(*, common: Common | None = None, wait: float = 0.0) -> int:
    """Convert and upload what is left to be, here and now, and delete what is too old.

    For a folder whose node does not run; a node does it by itself. Exit status 1 when
    something is left.

    Parameters
    ----------
    wait
        Seconds to go on trying.
    """
    settings = _settings(common).recording
    # Here and not above: it needs numpy.
    from trunkline.calls.storage import Storeroom
    from trunkline.calls.storage_process import locked
    from trunkline.calls.storage_settings import storage_settings

    wrong: list[str] = []
    room = Storeroom(
        storage_settings(settings),
        on_stored=lambda path, manifest, place: _say(place or path.stem),
        on_alarm=lambda kind, detail: wrong.append(f"{kind}: {detail}") if detail else None,
    )
    until = time.monotonic() + wait
    with locked(settings.folder) as ours:
        if not ours:
            waiting = sum(1 for _ in RecordingQueue(settings.folder))
            raise UsageError(f"a node is at it; {waiting} recordings are not finished yet")
        left = room.step()
        while left and (room.is_busy or time.monotonic() < until):
            time.sleep(0.05)
            left = room.step()
    room.close()
    for line in dict.fromkeys(wrong):
        console().print(text(line, "red"), soft_wrap=True)
    return 1 if left else 0


def _say(line: str) -> None:
    console().print(line, markup=False, soft_wrap=True)


@app.command
def keygen(*, pair: Annotated[bool, Flag] = False) -> None:
    """Print a new key for recording.encryption_key.

    Example: `trunkline recordings keygen > recordings.key`

    Parameters
    ----------
    pair
        A public key for the node, which cannot read what it wrote, and the private one.
    """
    if not pair:
        print(new_key().written())
        return
    public, private = new_pair()
    print(f"{public.written()}\n{private.written()}")


def _settings(common: Common | None) -> Settings:
    return (common or Common()).load().settings


def _keys(written: tuple[str, ...]) -> tuple[SealingKey, ...]:
    return parse_keys([Secret.read(one, os.environ).reveal() for one in written])


def _one(id: str, folder: Path) -> tuple[Path, Manifest]:
    """A recording by the beginning of its name, or by the path of its manifest or file."""
    path = Path(id)
    if path.is_file():
        path = path if path.suffix == SUFFIX else path.with_name(path.name.partition(".")[0])
        path = path.with_suffix(SUFFIX)
        return path, read(path)
    found = [one for one in manifests(folder) if one[0].stem.startswith(id)]
    exact = [one for one in found if one[0].stem == id]
    if len(exact or found) != 1:
        many = ", ".join(one[0].stem for one in found[:3])
        none = f"no recording has the id {id!r}; `trunkline recordings` lists them"
        raise UsageError(f"several recordings begin with {id!r}: {many}" if found else none)
    return (exact or found)[0]


def _format(manifest: Manifest) -> str:
    return manifest.format + (" sealed" if manifest.encryption else "")


def _state(path: Path, manifest: Manifest) -> Text:
    if manifest.state == "recording":
        gone = is_orphan(path, manifest, time.time())
        return text("crashed" if gone else "live", "bold red" if gone else "bold green")
    if manifest.state != "ended":
        return text(manifest.state, "bold red")
    if manifest.upload is not None:
        waits = manifest.upload.state != "done"
        return text("waits for upload" if waits else "uploaded", "yellow" if waits else "")
    return text("stored" if manifest.finished else "being finished")


def _verified(
    path: Path,
    manifest: Manifest,
    settings: Settings,
    *,
    store: bool,
    keys: tuple[SealingKey, ...],
) -> str:
    """What is to be said of one recording, compared with its manifest."""
    if not manifest.sha256:
        return f"not finished ({manifest.state})"
    said = list(_verified_file(path.with_name(manifest.file), manifest, keys))
    uploaded = manifest.upload is not None and bool(manifest.upload.url)
    if uploaded and store:
        said.append(_verified_object(manifest, settings))
    if not said:
        said.append("uploaded (--store reads it)" if uploaded else "BAD: the file is gone")
    return min(said)  # BAD sorts before anything in small letters


def _verified_file(file: Path, manifest: Manifest, keys: tuple[SealingKey, ...]) -> Iterator[str]:
    try:
        same = hash_of(file) == manifest.sha256
    except FileNotFoundError:
        return
    yield "fine" if same else "BAD: the file is not the one that was recorded"
    if same and keys and manifest.encryption:
        yield _opens(file, keys)


def _opens(file: Path, keys: tuple[SealingKey, ...]) -> str:
    from trunkline.calls.sealing import open_sealed

    with file.open("rb") as source:
        try:
            opened = open_sealed(source, keys)
            for _ in opened:
                pass
        except RecordingError as error:
            return f"BAD: {error}"
    return "fine" if opened.whole else "fine, but cut short"


def _verified_object(manifest: Manifest, settings: Settings) -> str:
    from trunkline.calls.storage_s3 import S3Store
    from trunkline.calls.storage_settings import storage_settings

    target = storage_settings(settings.recording).s3
    assert manifest.upload is not None
    if target is None or not manifest.upload.url.startswith(f"s3://{target.bucket}/"):
        return f"in {manifest.upload.url}, which recording.s3 does not name"
    key = manifest.upload.url.removeprefix(f"s3://{target.bucket}/")
    wrong = S3Store(target).check(key, manifest.sha256)
    return f"BAD: {manifest.upload.url}: {wrong}" if wrong else "fine"
