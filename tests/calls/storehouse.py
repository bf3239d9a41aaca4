"""A real S3 server for tests (moto's), and a way to it that can be broken."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from moto.server import ThreadedMotoServer

from trunkline.calls.recorder import Recorder
from trunkline.calls.recording_manifest import Manifest, read
from trunkline.calls.storage_settings import S3Target

BUCKET = "recordings"


class Storehouse:
    """moto's server on loopback; `port` is that of a gate before it."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        _, self.real_port = self._server.get_host_and_port()
        self.gate = Gate(self.real_port)
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.real_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="secret-of-the-test",
            config=Config(s3={"addressing_style": "path"}),
        )
        self.client.create_bucket(Bucket=BUCKET)
        self.empty()  # all servers of a process have one store

    def target(self, **changes: Any) -> S3Target:
        known: dict[str, Any] = {
            "bucket": BUCKET,
            "prefix": "calls",
            "endpoint_url": f"http://127.0.0.1:{self.gate.port}",
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": "secret-of-the-test",
            "path_style": True,
            "timeout_seconds": 2.0,
        }
        return S3Target(**{**known, **changes})

    def names(self) -> list[str]:
        listing = self.client.list_objects_v2(Bucket=BUCKET)
        return sorted(one["Key"] for one in listing.get("Contents", ()))

    def data(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def empty(self) -> None:
        for key in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=key)
        listing = self.client.list_multipart_uploads(Bucket=BUCKET)
        for upload in listing.get("Uploads", ()):
            self.client.abort_multipart_upload(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    def close(self) -> None:
        self.gate.close()
        self._server.stop()


class Gate:
    """A TCP relay on loopback that passes, answers 500 or 403, is slow, or is not there."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.mode = "pass"
        """pass, 500, 403, silent, trickle."""
        self.passed_bytes = 0
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self._serve(self._listener)

    def shut(self) -> None:
        """Refuse connections from now on."""
        listener, self._listener = self._listener, None  # type: ignore[assignment]
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def reopen(self) -> None:
        self._listener = self._listen(self.port)
        self._serve(self._listener)

    def close(self) -> None:
        if self._listener is not None:
            self.shut()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            if self.mode in ("500", "403"):
                near.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    while near.recv(65536):
                        pass
                code = "InternalError" if self.mode == "500" else "AccessDenied"
                body = f"<Error><Code>{code}</Code><Message>by the gate</Message></Error>"
                near.sendall(
                    f"HTTP/1.1 {self.mode} No\r\nConnection: close\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                return
            if self.mode == "silent":
                time.sleep(5)
                return
            with socket.create_connection(("127.0.0.1", self._to)) as far:
                back = threading.Thread(target=self._pump, args=(far, near, False), daemon=True)
                back.start()
                self._pump(near, far, True)
                back.join()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if up and self.mode == "trickle":
                    time.sleep(0.004)
                target.sendall(data)
                self.passed_bytes += len(data) if up else 0
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def storehouse() -> Iterator[Storehouse]:
    house = Storehouse()
    try:
        yield house
    finally:
        house.close()


def recorded(
    folder: Path,
    name: str = "call",
    seconds: float = 0.5,
    data_keys: list[bytes] | None = None,
    **options: Any,
) -> tuple[Path, Manifest]:
    """A recording of a tone in each side that has ended, unfinished; its manifest."""
    taken: list[bytes] = [] if data_keys is None else data_keys
    recorder = Recorder(folder, on_finished=lambda _, path, key: taken.append(key), **options)
    recording = recorder.open(name, 8000)
    times = np.arange(160)
    for number in range(round(seconds * 50)):
        phase = (times + 160 * number) / 8000 * 2 * np.pi
        recording.write(
            (8000 * np.sin(440 * phase)).astype(np.int16),
            (8000 * np.sin(660 * phase)).astype(np.int16),
        )
    path = recording.close().result(10).path
    assert recorder.close()
    manifest = path.with_name(path.name.partition(".")[0] + ".json")
    return manifest, read(manifest)
