"""`ctx`: what a handler knows of its call, and what it can tell and keep."""
import threading

from .wire import CHECKPOINT_BYTES, LOG_LINE_BYTES, encode, to_json


class Checkpoint:
    """Bytes that outlive an attempt: of this call, or, with a name, of the app."""

    def __init__(self, host, call):
        self._host = host
        self._call = call

    def save(self, data, name=None):
        """Keeps these bytes; returns once they are committed."""
        data = bytes(data)
        if len(data) > CHECKPOINT_BYTES:
            raise ValueError(f"Cannot save a checkpoint of {len(data)} bytes: the limit is {CHECKPOINT_BYTES}")
        frame = {"t": "checkpoint-save", "c": self._call, "bytes": len(data)}
        self._host.ask({**frame, "name": name} if name else frame, data)

    def load(self, name=None):
        """The last committed bytes, or None: of this call's attempts, or under this name."""
        frame = {"t": "checkpoint-load", "c": self._call}
        return self._host.ask({**frame, "name": name} if name else frame)


class Context:
    """What a handler knows of its call, and what it can tell and keep."""

    rank = 0
    world_size = 1

    def __init__(self, load, call, channel, host):
        self.app, self.function, self.container = load["app"], load["function"], load["container"]
        self.call_id, self.attempt = call["id"], call["attempt"]
        self.cancelled = threading.Event()
        """Is set when the call is cancelled or has run out of time; a grace time later the process is killed."""
        self.checkpoint = Checkpoint(host, call["c"])
        self.task = None
        self.ended = False
        self._call, self._channel = call["c"], channel

    def log(self, text, **fields):
        """Writes one line to the call's log."""
        line = f"{text} {to_json(fields)}" if fields else str(text)
        self._tell({"t": "log", "c": self._call, "text": line[:LOG_LINE_BYTES]})

    def report(self, values=None, **more):
        """Records numbers of this moment: a loss, a learning rate."""
        self._event("report", {**(values or {}), **more})

    def progress(self, done, total):
        """Says how far the call has come."""
        self._event("progress", {"done": done, "total": total})

    def sent(self, value):
        """Sends one yield."""
        text = encode(value, "yield")
        if not self.ended:
            self._channel.send_text(f'{{"t":"event","c":{self._call},"kind":"yield","data":{{"value":{text}}}}}')

    def cancel(self, loop):
        self.cancelled.set()
        if self.task is not None:
            loop.call_soon_threadsafe(self.task.cancel)

    def _event(self, kind, data):
        self._tell({"t": "event", "c": self._call, "kind": kind, "data": data})

    def _tell(self, frame):
        if not self.ended:  # Of a call that has ended the host wants to hear nothing
            self._channel.send(frame)
