"""The guest's end of its control socket, and what is asked over it."""
import json
import os
import queue
import socket
import threading

from .wire import to_json

READ_BYTES = 256 * 1024


class Channel:
    """The guest's end of its control socket. Any thread may send; one thread reads.

    Each result is written before the next call begins: a call that takes the process with it takes no other's result along.
    """

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lock = threading.Lock()
        self.ours = True
        """False in a process that user code forked: it may not speak for its parent."""
        os.register_at_fork(after_in_child=self._forked)

    def send(self, frame, body=b""):
        self.send_text(to_json(frame), body)

    def send_text(self, text, body=b""):
        head = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if not self.ours:
                return
            try:
                self._socket.sendall(head)
                if body:
                    self._socket.sendall(body)
            except OSError:
                os._exit(0)  # The host has gone: nothing that is done now would count

    def frames(self):
        """What arrives, as many frames with their bodies at a time as there are, until the host closes."""
        parts = []
        while chunk := self._socket.recv(READ_BYTES):
            parts.append(chunk)
            if b"\n" in chunk:
                frames, rest = self._parse(b"".join(parts))
                parts = [rest]
                yield frames

    def _parse(self, data):
        frames, at = [], 0
        while (end := data.find(b"\n", at)) >= 0:
            frame, body = json.loads(data[at:end].decode()), None
            at = end + 1
            if "bytes" in frame:
                body = data[at:at + frame["bytes"]]
                at += len(body)
                body += self._read(frame["bytes"] - len(body))
            frames.append((frame, body))
        return frames, data[at:]

    def _read(self, size):
        parts = []
        while size > 0 and (part := self._socket.recv(min(size, READ_BYTES))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _forked(self):
        self._lock = threading.Lock()  # Another thread of the parent may have held it
        self.ours = False
        self._socket.close()


class Host:
    """What a guest asks of its host and awaits."""

    def __init__(self, channel):
        self._channel = channel
        self._answers = {}
        self._last = 0
        self._lock = threading.Lock()

    def ask(self, deed, frame, body=b""):
        """Waits for the answer; its body, or None when it has none."""
        n, answers = self._send(frame, body)
        return self._result(deed, n, answers)

    def _result(self, deed, n, answers):
        reply, data = answers.get()
        self._answers.pop(n, None)
        if not reply["ok"]:
            raise RuntimeError(f"Cannot {deed}: {reply.get('message', 'the host refused')}")
        return data

    def upload(self, deed, frame, pieces):
        """Sends a content in pieces, each in a frame of its own, and an empty one at its end; the body of the answer."""
        n, answers = self._expect()
        at = 0
        for piece in pieces:
            if not answers.empty():
                break  # It was refused
            self._channel.send({**frame, "n": n, "at": at, "bytes": len(piece)}, piece)
            at += len(piece)
        self._channel.send({**frame, "n": n, "at": at, "bytes": 0})
        return self._result(deed, n, answers)

    def fetch(self, method, path, headers, body):
        """A request to the platform's api: its status, and the pieces of the answer as they come."""
        frame = {"t": "fetch", "method": method, "path": path, "headers": headers}
        n, answers = self._send({**frame, "bytes": len(body)} if body else frame, body)
        reply, _ = answers.get()
        if not reply["ok"]:
            self._answers.pop(n, None)
            raise ConnectionError(reply.get("message", "the host could not pass the request on"))
        return reply["status"], self._pieces(n, answers)

    def _pieces(self, n, answers):
        ended = False
        try:
            while not ended:
                frame, body = answers.get()
                ended = frame["t"] == "reply" or frame["end"]
                if frame["t"] == "reply":
                    raise ConnectionError(frame.get("message", "the answer broke off"))
                yield body or b""
        finally:
            self._answers.pop(n, None)
            if not ended:
                self._channel.send({"t": "fetch-abort", "n": n})

    def _send(self, frame, body):
        n, answers = self._expect()
        self._channel.send({**frame, "n": n}, body)
        return n, answers

    def _expect(self):
        """A number for a request, and where its answers will come."""
        if not self._channel.ours:
            raise RuntimeError("Cannot ask the platform from a forked process: only the process that runs the call may")
        answers = queue.SimpleQueue()
        with self._lock:
            self._last += 1
            n = self._last
            self._answers[n] = answers
        return n, answers

    def answer(self, frame, body):
        """Hands a reply, or a piece of one, to whom it is for."""
        answers = self._answers.get(frame["n"])
        if answers is not None:
            answers.put((frame, body))
