"""The guest's end of its control socket, and what is asked over it."""
import json
import os
import queue
import socket
import threading

from .wire import reference, to_json

READ_BYTES = 256 * 1024
FORGOTTEN = {"t": "reply", "ok": False, "message": "the host went away"}
"""In the place of an answer that will not come."""


class Forgotten(Exception):
    """The host has come back, and does not know of the request."""


class Channel:
    """The guest's end of its control socket. Any thread may send; one thread reads.

    Each result is written before the next call begins: a call that takes the process with it takes no other's result along.
    """

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._door = None
        self._lock = threading.Lock()
        self._back = threading.Condition(self._lock)
        self._away = False
        self.ours = True
        """False in a process that user code forked: it may not speak for its parent."""
        os.register_at_fork(after_in_child=self._forked)

    def send(self, frame, body=b""):
        self.send_text(to_json(frame), body)

    def send_text(self, text, body=b""):
        """Waits for a host that is away."""
        while not self.try_send(text, body):
            pass

    def try_send(self, text, body=b""):
        """False when the host was away, once it is back."""
        head = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if not self.ours or self._sent(head, body):
                return True
            self._back.wait_for(lambda: not self._away)
            return False

    def _sent(self, head, body):
        if self._away:
            return False
        try:
            self._socket.sendall(head)
            if body:
                self._socket.sendall(body)
            return True
        except OSError as error:
            if self._door is None or not isinstance(error, ConnectionError):
                os._exit(0)  # The host has gone: nothing that is done now would count
            self._away = True
            return False

    def let_back(self, path, seconds):
        """From now on the host may come back, as another process, within that time after it has gone."""
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(path)
        door.listen(1)
        door.settimeout(seconds)
        self._door = door

    def resume(self, greeting):
        """Waits for the host to come back, and sends what `greeting` makes before anything else; False when it does not."""
        if self._door is None:
            return False
        with self._lock:
            self._away = True
            self._socket.close()
        try:
            connection, _ = self._door.accept()
        except OSError:
            return False
        connection.settimeout(None)
        hello = to_json(greeting()).encode() + b"\n"
        with self._lock:
            self._socket, self._away = connection, False
            self._sent(hello, b"")
            self._back.notify_all()
        return True

    def frames(self):
        """What arrives, as many frames with their bodies at a time as there are, until the host closes."""
        parts = []
        while chunk := self._receive():
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

    def _receive(self, size=READ_BYTES):
        try:
            return self._socket.recv(size)
        except ConnectionError:
            return b""

    def _read(self, size):
        parts = []
        while size > 0 and (part := self._receive(min(size, READ_BYTES))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _forked(self):
        self._lock = threading.Lock()  # Another thread of the parent may have held it
        self.ours = False
        self._socket.close()
        if self._door is not None:
            self._door.close()


class Host:
    """What a guest asks of its host and awaits."""

    def __init__(self, channel):
        self._channel = channel
        self._answers = {}
        self._last = 0
        self._lock = threading.Lock()

    def ask(self, deed, frame, body=b""):
        """Waits for the answer; its body, or None when it has none."""
        return self._answer(deed, frame, body)[1]

    def save_value(self, data):
        """Stores a value that is too large to travel; its id."""
        return self._answer("send a large value", {"t": "value-save", "bytes": len(data)}, data)[0]["id"]

    def incoming(self, value):
        """The value that came, or that a reference which came stands for."""
        id = reference(value)
        return value if id is None else json.loads(self.ask("read a large value", {"t": "value-load", "id": id}))

    def upload(self, deed, frame, source, size):
        """Sends what a file holds in pieces, each in a frame of its own, and an empty one at its end; the body of the answer."""
        while True:
            source.seek(0)
            n, answers = self._expect()
            at = 0
            while answers.empty():  # Else it was refused, or the host went away
                piece = source.read(size)
                self._send_to(answers, n, {**frame, "at": at, "bytes": len(piece)}, piece)
                at += len(piece)
                if not piece:
                    break
            try:
                return self._result(deed, n, answers)[1]
            except Forgotten:
                pass

    def _answer(self, deed, frame, body):
        while True:
            n, answers = self._send(frame, body)
            try:
                return self._result(deed, n, answers)
            except Forgotten:
                pass

    def _result(self, deed, n, answers):
        reply, data = answers.get()
        self._answers.pop(n, None)
        if reply is FORGOTTEN:
            raise Forgotten()
        if not reply["ok"]:
            raise RuntimeError(f"Cannot {deed}: {reply.get('message', 'the host refused')}")
        return reply, data

    def forget(self):
        """The host is back, and does not know what it was asked."""
        for answers in list(self._answers.values()):
            answers.put((FORGOTTEN, None))

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
        self._send_to(answers, n, frame, body)
        return n, answers

    def _send_to(self, answers, n, frame, body):
        if not self._channel.try_send(to_json({**frame, "n": n}), body):
            answers.put((FORGOTTEN, None))

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
