"""A node tortured where nobody can be hurt; run in a network namespace of its own.

Prints one JSON object: what was answered to each message, whether the node answered
afterwards, and every packet that wanted to leave the machine. The way out ends at
a cable nobody holds; one packet of our own shows that it is watched.
"""

import asyncio
import dataclasses
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "sip"))

from torture import MESSAGES, Torture

from trunkline.calls.apps import echo
from trunkline.calls.switchboard import Switchboard
from trunkline.server.node import Node
from trunkline.settings import Http, Media, Records, Settings, Sip

OUTSIDE = "198.51.100.99"
ALIVE = (
    "OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{0} 127.0.0.1:{1};branch=z9hG4bKalive{2}\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: alive-{2}\r\nCSeq: {2} OPTIONS\r\n"
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def make_way_out() -> None:
    """Loopback up, and a default route into nothing."""
    for command in (
        "ip link set lo up", "ip link add out0 type veth peer name out1",
        "ip link set out0 up arp off", "ip link set out1 up arp off",
        "ip addr add 198.51.100.1/24 dev out0", "ip route add default dev out0",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True)


class Watch(threading.Thread):
    """Sees every IPv4 packet that leaves through the way out."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        self.socket.bind(("out0", 0))
        self.seen: list[str] = []

    def run(self) -> None:
        while True:
            data, where = self.socket.recvfrom(65_535)
            if where[1] != 0x0800 or len(data) < 20:
                continue
            protocol, target = data[9], socket.inet_ntoa(data[16:20])
            ports = struct.unpack("!HH", data[20:24]) if len(data) >= 24 else (0, 0)
            self.seen.append(f"{protocol} {target}:{ports[1]}")


def over_udp(port: int, torture: Torture, number: int) -> dict[str, object]:
    """Send one message and an OPTIONS after it; the statuses of both."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.15)
        sock.send(torture.data)
        codes = statuses(sock)
        sock.settimeout(2)
        sock.send(ALIVE.format("UDP", sock.getsockname()[1], number).encode())
        return {"codes": codes, "alive": alive(sock, number)}


def over_tcp(port: int, torture: Torture, number: int) -> dict[str, object]:
    """The same over a connection, and over another one afterwards."""
    data = torture.data.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(0.15)
        sock.sendall(data)
        codes = statuses(sock)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(2)
        sock.sendall(ALIVE.format("TCP", sock.getsockname()[1], 1000 + number).encode())
        return {"codes": codes, "alive": alive(sock, 1000 + number)}


def statuses(sock: socket.socket) -> list[int]:
    """What is answered until nothing more comes."""
    codes: list[int] = []
    try:
        while data := sock.recv(65_535):
            codes += [
                int(part[:3])
                for part in data.split(b"SIP/2.0 ")[1:]
                if part[:3].isdigit() and part[3:4] == b" "
            ]
    except (TimeoutError, ConnectionResetError):
        pass
    return codes


def alive(sock: socket.socket, number: int) -> bool:
    """Whether the OPTIONS was answered; what is repeated of before is passed over."""
    wanted = f"alive-{number}\r\n".encode()
    try:
        while data := sock.recv(65_535):
            if wanted in data:
                return b"SIP/2.0 200" in data
    except (TimeoutError, ConnectionResetError):
        pass
    return False


async def main() -> dict[str, object]:
    """Torture a node that answers every call."""
    make_way_out()
    watch = Watch()
    watch.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.sendto(b"control", (OUTSIDE, 9))
    board = Switchboard()
    board.answer("*")(echo)
    with tempfile.TemporaryDirectory() as folder:
        wide = sys.argv[1] == "wide"
        settings = Settings(
            sip=Sip(
                host="0.0.0.0" if wide else "127.0.0.1",
                port=5060,
                allowed_addresses=("127.0.0.0/8",) if wide else (),
                advertised_host="127.0.0.1",
                t1_ms=50,
                **tcp(),
            ),
            media=Media(host="0.0.0.0" if wide else "127.0.0.1", **loopback_only(wide)),
            records=Records(path=Path(folder) / "calls.db"),
            http=Http(enabled=False),
        )
        node = Node(settings, board, streams=False)
        running = asyncio.create_task(node.run())
        await node.ready.wait()
        tortures = [
            # In the RFC the audio is wanted on somebody's real addresses.
            dataclasses.replace(
                each, data=each.data.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 192.0.2.1")
            )
            for each in MESSAGES
        ]
        results: dict[str, dict[str, object]] = {"udp": {}, "tcp": {}}
        for number, torture in enumerate(tortures, 1):
            found = await asyncio.to_thread(over_udp, 5060, torture, number)
            results["udp"][torture.name] = found
            if tcp():
                found = await asyncio.to_thread(over_tcp, 5060, torture, number)
                results["tcp"][torture.name] = found
        await asyncio.sleep(1)
        node.stop()
        await running
    time.sleep(0.2)
    return {**results, "left": watch.seen}


def tcp() -> dict[str, int]:
    """The setting of a TCP port, where nodes have one."""
    return {"tcp_port": 5060} if "tcp_port" in Sip.__struct_fields__ else {}


def loopback_only(wide: bool) -> dict[str, object]:
    """The setting that keeps the audio of a node that listens everywhere at home."""
    known = "allowed_networks" in Media.__struct_fields__
    return {"allowed_networks": ("127.0.0.0/8",)} if wide and known else {}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
