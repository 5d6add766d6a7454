"""The guest's end of its control socket, and what is asked over it."""
import json
import os
import socket
import threading

from .wire import to_json


class Channel:
    """The guest's end of its control socket. Any thread may send; one thread reads."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._reader = self._socket.makefile("rb", buffering=64 * 1024)
        self._lock = threading.Lock()

    def send(self, frame, body=b""):
        self.send_text(to_json(frame), body)

    def send_text(self, text, body=b""):
        head = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            try:
                self._socket.sendall(head)
                if body:
                    self._socket.sendall(body)
            except OSError:
                os._exit(0)  # The host has gone: nothing that is done now would count

    def frames(self):
        for line in self._reader:
            frame = json.loads(line)
            yield frame, self._reader.read(frame["bytes"]) if "bytes" in frame else None


class Host:
    """What a guest asks of its host and awaits."""

    def __init__(self, channel):
        self._channel = channel
        self._waiting = {}
        self._last = 0
        self._lock = threading.Lock()

    def ask(self, frame, body=b""):
        """The bytes that are answered, or None."""
        return self._exchange(frame, body)[1]

    def save_value(self, data):
        """Stores a value that is too large to travel, and gives its id."""
        return self._exchange({"t": "value-save", "bytes": len(data)}, data)[0]["id"]

    def load_value(self, id):
        return json.loads(self.ask({"t": "value-load", "id": id}))

    def _exchange(self, frame, body):
        answered = threading.Event()
        with self._lock:
            self._last += 1
            n = self._last
            self._waiting[n] = slot = [answered, None, None]
        self._channel.send({**frame, "n": n}, body)
        answered.wait()
        if not slot[1]["ok"]:
            raise RuntimeError(slot[1].get("message", "the host refused"))
        return slot[1:]

    def reply(self, frame, body):
        slot = self._waiting.pop(frame["n"], None)
        if slot is not None:
            slot[1:] = frame, body
            slot[0].set()
