"""`ctx`: what a handler knows of its call, and what it can tell and keep."""
import asyncio
import inspect
import threading
from typing import NamedTuple

from .wire import CHECKPOINT_BYTES, LOG_LINE_BYTES, encode, to_json


class Gang(NamedTuple):
    """Where the ranks meet. It may be elsewhere at the next call."""

    master_address: str
    master_port: int


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

    def __init__(self, load, call, channel, host):
        self.app, self.function, self.container = load["app"], load["function"], load["container"]
        self.call_id, self.attempt = call["id"], call["attempt"]
        gang, master = load.get("gang", {}), call.get("master")
        self.rank, self.world_size = gang.get("rank", 0), gang.get("size", 1)
        """This process among those that run the call together, from 0; and how many they are."""
        self.gang = Gang(master["address"], master["port"]) if master else None
        """Where rank 0 listens and the others connect; None when the function has one node."""
        self.cancelled = threading.Event()
        """Is set when the call is cancelled, has run out of time or must give way; some time later the process is killed."""
        self.preempted = threading.Event()
        """Is set when the call must give way to more important work; its next attempt goes on from its checkpoint."""
        self.checkpoint = Checkpoint(host, call["c"])
        self.task = None
        self.ended = False
        self._call, self._channel, self._host = call["c"], channel, host
        self._lock, self._handlers, self._notice = threading.Lock(), [], None

    def on_preempt(self, handler):
        """Calls the handler when the call must give way: it may save a checkpoint. It may take the milliseconds that are left."""
        with self._lock:
            self._handlers.append(handler)
            notice = self._notice
        if notice is not None:
            self._heed(handler, *notice)

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

    def artifact(self, ref, content=None):
        """The bytes of an artifact of the workspace (`model`, `model@3`, `model@production`), or, with content (bytes or the path of
        a file), publishes the next version of that name, and returns its name, version, digest and size once it is committed."""
        from . import artifacts  # On first use: what it imports takes longer than the rest of a start

        if content is None:
            return artifacts.load(self._host, ref)
        if self.ended:
            raise RuntimeError(f"Cannot publish artifact {ref}: the call has ended")
        return artifacts.publish(self._host, self._call, ref, content)

    def artifact_file(self, ref):
        """The same bytes as a file of this container, for what is too large for the memory; returns its path."""
        from . import artifacts

        return artifacts.load_file(self._host, ref)

    def sent(self, value):
        """Sends one yield."""
        text = encode(value, "yield")
        if not self.ended:
            self._channel.send_text(f'{{"t":"event","c":{self._call},"kind":"yield","data":{{"value":{text}}}}}')

    def preempt(self, deadline_ms, loop):
        with self._lock:
            if self._notice is not None:
                return
            self._notice = deadline_ms, loop
            handlers = list(self._handlers)
        self.preempted.set()
        self.cancelled.set()
        for handler in handlers:
            self._heed(handler, deadline_ms, loop)

    def _heed(self, handler, deadline_ms, loop):
        """Runs a handler beside the call: on its loop when it is async, else on a thread, since it waits for the host."""
        arguments = [deadline_ms] if inspect.signature(handler).parameters else []

        def run():
            try:
                value = handler(*arguments)
                if inspect.iscoroutine(value):
                    asyncio.run_coroutine_threadsafe(value, loop).result() if loop else asyncio.run(value)
            except BaseException as error:
                self.log(f"A handler of on_preempt failed: {error}")

        threading.Thread(target=run, daemon=True).start()

    def cancel(self, loop):
        self.cancelled.set()
        if self.task is not None:
            loop.call_soon_threadsafe(self.task.cancel)

    def _event(self, kind, data):
        self._tell({"t": "event", "c": self._call, "kind": kind, "data": data})

    def _tell(self, frame):
        if not self.ended:  # Of a call that has ended the host wants to hear nothing
            self._channel.send(frame)
