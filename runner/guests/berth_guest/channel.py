"""The guest's end of its control socket, and what is asked over it."""
import json
import os
import socket
import threading

from .answers import Reply
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

    def expect(self, answer):
        """The number under which it will come."""
        with self._lock:
            self._last += 1
            self._waiting[self._last] = answer
            return self._last

    def send(self, frame, body=b""):
        self._channel.send(frame, body)

    def ask(self, frame, body=b""):
        reply = Reply()
        self.send({**frame, "n": self.expect(reply)}, body)
        return reply.wait()

    def reply(self, frame, body):
        answer = self._waiting.get(frame["n"])
        if answer is not None and answer.begin(frame, body):
            del self._waiting[frame["n"]]

    def chunk(self, frame, body):
        answer = self._waiting.get(frame["n"])
        if answer is None:
            return
        if not answer.take(body, frame["end"]):
            self.send({"t": "fetch-abort", "n": frame["n"]})
        if answer.over:
            del self._waiting[frame["n"]]
