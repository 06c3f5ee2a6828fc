"""A system bus on which a systemd of units that run or do not answers: what Pacemaker asks for resources of its class.

`.system_bus.json` beside it has the units with the resource of each. That a unit is active is a file in /run, as of a
stand-in for an OCF agent. There is no bus between others: who connects talks to this program alone.

Protocol: D-Bus specification, "Message Protocol" and "Authentication Protocol"; objects, interfaces, methods and
properties: org.freedesktop.systemd1(5). Pacemaker calls LoadUnit, StartUnit, StopUnit, RestartUnit, ListUnitFiles,
Reload, and reads properties of units (lib/services/systemd.c).
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
from itertools import count
from pathlib import Path
from typing import BinaryIO, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

SOCKET = "/run/dbus/system_bus_socket"
RUNS = Path("/run/stand-ins")
UNITS = "/org/freedesktop/systemd1/unit/"
GUID = b"5652435f4c41425f5652435f4c41425f"
CALL, RETURN, ERROR = 1, 2, 3
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
NO_REPLY = 1
# "The maximum length of a message, including header, header alignment padding, and body is 2 to the 27th power".
LONGEST = 1 << 27
_SERIALS = count(1)


class Body:
    """Bytes that are written in the types of D-Bus, each aligned to its own size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> Body:
        """Fill up to a multiple of `size`."""
        self.data += bytes(-len(self.data) % size)
        return self

    def number(self, value: int) -> Body:
        """A UINT32, or a BOOLEAN."""
        self.align(4)
        self.data += struct.pack("<I", value)
        return self

    def text(self, value: str) -> Body:
        """A STRING or an OBJECT_PATH."""
        encoded = value.encode()
        self.number(len(encoded))
        self.data += encoded + b"\0"
        return self

    def signature(self, value: str) -> Body:
        """A SIGNATURE."""
        self.data += bytes([len(value)]) + value.encode() + b"\0"
        return self

    def array(self, size: int, write: Callable[[Body], object]) -> Body:
        """An ARRAY, whose elements are aligned to `size` and written by `write`."""
        self.number(0)
        place = len(self.data)
        self.align(size)
        start = len(self.data)
        write(self)
        self.data[place - 4 : place] = struct.pack("<I", len(self.data) - start)
        return self


class Call:
    """A message that somebody has sent: its fields by their codes, and the texts that its body begins with."""

    def __init__(self, kind: int, flags: int, serial: int, fields: Mapping[int, str], arguments: Sequence[str]) -> None:
        self.kind = kind
        self.serial = serial
        self.wants_reply = kind == CALL and not flags & NO_REPLY
        self.path = fields.get(PATH, "")
        self.interface = fields.get(INTERFACE, "")
        self.member = fields.get(MEMBER, "")
        self.arguments = tuple(arguments)


def read_call(stream: BinaryIO) -> Optional[Call]:
    """The next message; None at the end. ValueError for what is none."""
    head = stream.read(16)
    if len(head) < 16:
        return None
    order = {b"l": "<", b"B": ">"}.get(head[:1])
    if order is None:
        raise ValueError(f"no message of D-Bus begins with {head[:1]!r}")
    kind, flags = head[1], head[2]
    length, serial, size = struct.unpack(f"{order}III", head[4:16])
    if length + size > LONGEST:
        raise ValueError("a message is too long")
    fields = stream.read(size + -size % 8)
    body = stream.read(length)
    known: Dict[int, str] = {}
    place = 0
    while place < size:
        place += -place % 8
        code, signature = fields[place], chr(fields[place + 2])
        value, place = _value(fields, place + 4, signature, order)
        known[code] = value
    arguments: List[str] = []
    place = 0
    for one in known.get(SIGNATURE, ""):
        if one not in "sog":
            break
        value, place = _value(body, place, one, order)
        arguments.append(value)
    return Call(kind, flags, serial, known, arguments)


def _value(data: bytes, place: int, signature: str, order: str) -> Tuple[str, int]:
    """A value as text, and where it ends."""
    if signature == "g":
        size = data[place]
        return data[place + 1 : place + 1 + size].decode(), place + size + 2
    place += -place % 4
    (size,) = struct.unpack_from(f"{order}I", data, place)
    if signature == "u":
        return str(size), place + 4
    return data[place + 4 : place + 4 + size].decode(), place + 4 + size + 1


def reply(call: Call, signature: str, body: Body, error: str = "") -> bytes:
    """The answer to a call, or an error of that name."""

    def fields(out: Body) -> None:
        def field(code: int, kind: str, value: str) -> None:
            out.align(8).data.append(code)
            out.signature(kind)
            if kind == "u":
                out.number(int(value))
            elif kind == "g":
                out.signature(value)
            else:
                out.text(value)

        field(REPLY_SERIAL, "u", str(call.serial))
        field(SENDER, "s", "org.freedesktop.systemd1")
        if error:
            field(ERROR_NAME, "s", error)
        if signature:
            field(SIGNATURE, "g", signature)

    head = Body()
    head.data += bytes([ord("l"), ERROR if error else RETURN, 0, 1])
    head.number(len(body.data)).number(next(_SERIALS)).array(8, fields)
    return bytes(head.align(8).data + body.data)


class Systemd:
    """Units, each with the name of the file that says whether it is active."""

    def __init__(self, units: Mapping[str, str], runs: Path) -> None:
        self._units = units
        self._runs = runs

    def answer(self, call: Call, peer: int) -> bytes:
        """The answer to a call of the connection with that number."""
        text = call.arguments[0] if call.arguments else ""
        body = Body()
        if call.member == "Hello":
            return reply(call, "s", body.text(f":1.{peer}"))
        if call.member in ("AddMatch", "RemoveMatch", "Reload", "Subscribe", "Unsubscribe", "Ping"):
            return reply(call, "", body)
        if call.member == "NameHasOwner":
            return reply(call, "b", body.number(int(text == "org.freedesktop.systemd1")))
        if call.member == "GetNameOwner" and text == "org.freedesktop.systemd1":
            return reply(call, "s", body.text(":1.0"))
        if call.member in ("LoadUnit", "GetUnit"):
            return reply(call, "o", body.text(self._path(text)))
        if call.member in ("StartUnit", "StopUnit", "RestartUnit"):
            return self._job(call, text)
        if call.member == "ListUnitFiles":
            return reply(call, "a(ss)", body.array(8, self._files))
        if call.member == "ListUnits":
            return reply(call, "a(ssssssouso)", body.array(8, self._list))
        if call.member == "GetAll":
            return reply(call, "a{sv}", body.array(8, lambda out: self._properties(out, self._of(call.path))))
        if call.member == "Get" and len(call.arguments) > 1:
            found = self._about(self._of(call.path)).get(call.arguments[1])
            if found is not None:
                return reply(call, "v", body.signature("s").text(found))
        sentence = f"The lab's systemd has no {call.member} {' '.join(call.arguments)}"
        return reply(call, "s", body.text(sentence), "org.freedesktop.DBus.Error.UnknownMethod")

    def _job(self, call: Call, unit: str) -> bytes:
        name = unit[: -len(".service")] if unit.endswith(".service") else unit
        if name not in self._units:
            sentence = f"Unit {unit} not found."
            return reply(call, "s", Body().text(sentence), "org.freedesktop.systemd1.NoSuchUnit")
        file = self._runs / self._units[name]
        if call.member == "StopUnit":
            if file.exists():
                file.unlink()
        else:
            self._runs.mkdir(parents=True, exist_ok=True)
            file.write_text("started\n", encoding="ascii")
        return reply(call, "o", Body().text(f"/org/freedesktop/systemd1/job/{next(_SERIALS)}"))

    @staticmethod
    def _path(unit: str) -> str:
        return UNITS + re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):02x}", unit)

    @staticmethod
    def _of(path: str) -> str:
        plain = re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path[len(UNITS) :])
        return plain[: -len(".service")] if plain.endswith(".service") else plain

    def _about(self, unit: str) -> Dict[str, str]:
        known = unit in self._units
        active = known and (self._runs / self._units[unit]).exists()
        return {
            "Id": f"{unit}.service",
            "Description": f"Stand-in for {unit}.service",
            "LoadState": "loaded" if known else "not-found",
            "ActiveState": "active" if active else "inactive",
            "SubState": "running" if active else "dead",
            "UnitFileState": "disabled" if known else "",
        }

    def _properties(self, out: Body, unit: str) -> None:
        for name, value in self._about(unit).items():
            out.align(8).text(name).signature("s").text(value)

    def _files(self, out: Body) -> None:
        for unit in self._units:
            out.align(8).text(f"/lib/systemd/system/{unit}.service").text("disabled")

    def _list(self, out: Body) -> None:
        for unit in self._units:
            about = self._about(unit)
            names = (about["Id"], about["Description"], about["LoadState"], about["ActiveState"], about["SubState"], "")
            out.align(8)
            for one in names:
                out.text(one)
            out.text(self._path(about["Id"])).number(0).text("").text("/")


def authenticated(stream: BinaryIO, answer: Callable[[bytes], object]) -> bool:
    """Let whoever connects in: nobody but the instance reaches the socket. Whether it wants to go on."""
    stream.read(1)
    for line in iter(stream.readline, b""):
        word = line.split()[0] if line.split() else b""
        if word == b"BEGIN":
            return True
        if word == b"AUTH" and len(line.split()) == 2:
            answer(b"DATA\r\n")
        elif word in (b"AUTH", b"DATA"):
            answer(b"OK " + GUID + b"\r\n" if b"EXTERNAL" in line or word == b"DATA" else b"REJECTED EXTERNAL\r\n")
        else:
            answer(b"ERROR\r\n")
    return False


def converse(connection: socket.socket, systemd: Systemd, peer: int) -> None:
    """Answer one connection until it ends."""
    with connection, connection.makefile("rb") as stream:
        try:
            if not authenticated(stream, connection.sendall):
                return
            for call in iter(lambda: read_call(stream), None):
                answer = systemd.answer(call, peer)
                if call.wants_reply:
                    connection.sendall(answer)
        except (OSError, ValueError, IndexError, struct.error) as error:
            sys.stderr.write(f"system bus: {error}\n")


def serve(path: str, systemd: Systemd, ready: Callable[[], object] = lambda: None) -> None:
    """Listen, for ever; `ready` is called once."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)  # noqa: S103 - as the socket of a system bus: Pacemaker's controller is no root
    listener.listen()
    ready()
    for peer in count(1):
        connection, _ = listener.accept()
        threading.Thread(target=converse, args=(connection, systemd, peer), daemon=True).start()


def main() -> None:
    """Serve the units that the file beside this program names."""
    path = Path(sys.argv[0])
    about = json.loads((path.parent / f".{path.name}.json").read_text(encoding="utf-8"))
    serve(SOCKET, Systemd(about["units"], RUNS))


if __name__ == "__main__":
    main()
