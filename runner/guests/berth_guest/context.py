"""`ctx`: what a handler knows of its call, and what it can tell and keep."""
import re
import sys
import threading
from typing import NamedTuple

from .arguments import takes_any
from .wire import CHECKPOINT_BYTES, LOG_LINE_BYTES, encode, text_of, to_json

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")

MAKING = threading.Lock()
"""Held while a context makes what it has been asked for: the reading thread may ask at the same time."""


class Gang(NamedTuple):
    """Where the ranks meet. It may be elsewhere at the next call."""

    master_address: str
    master_port: int


class Checkpoint:
    """Bytes that outlive an attempt: of this call, or, with a name, of the app. Outside a call only those with a name, to load."""

    def __init__(self, host, call, runs=lambda: True):
        self._host, self._call, self._runs = host, call, runs

    def save(self, data, name=None):
        """Keeps these bytes; returns once they are committed."""
        if self._call is None or not self._runs():
            raise RuntimeError("Cannot save a checkpoint: " + ("there is no call" if self._call is None else "the call has ended"))
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"Cannot save a checkpoint: expected bytes, got {type(data).__name__}")
        data = bytes(data)
        if len(data) > CHECKPOINT_BYTES:
            raise ValueError(f"Cannot save a checkpoint of {len(data)} bytes: the limit is {CHECKPOINT_BYTES}")
        self._host.ask("save the checkpoint", {"t": "checkpoint-save", **self._of(name), "bytes": len(data)}, data)

    def load(self, name=None):
        """The last committed bytes, or None: of this call's attempts, or under this name."""
        if self._call is None and name is None:
            raise TypeError("Cannot load a checkpoint outside a call: say its name")
        return self._host.ask("load the checkpoint", {"t": "checkpoint-load", **self._of(name)})

    def _of(self, name):
        if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
            raise ValueError(f"Cannot name a checkpoint {name!r}: expected letters, digits, - and _, at most 63")
        return {**({} if self._call is None else {"c": self._call}), **({} if name is None else {"name": name})}


class ContainerContext:
    """What code outside a call knows: that of `enter` and `exit`."""

    _cancelled = None

    def __init__(self, load, host):
        self.app, self.function, self.container = load["app"], load["function"], load["container"]
        gang = load.get("gang", {})
        self.rank, self.world_size = gang.get("rank", 0), gang.get("size", 1)
        """This process among those that run the call together, from 0; and how many they are."""
        self.checkpoint = Checkpoint(host, None)
        self._host = host
        self._secrets = load.get("secrets", {})
        self._volumes = load.get("volumes", {})

    @property
    def cancelled(self):
        """An Event that is set when the work is no longer wanted."""
        with MAKING:
            if self._cancelled is None:
                self._cancelled = threading.Event()
            return self._cancelled

    def log(self, text, **fields):
        """Writes one line to the log of the container."""
        print(line_of(text, fields))

    def secret(self, key):
        """A value of the function's secrets, by its key."""
        return self._secret(key)["value"]

    def secret_file(self, key):
        """The path of the file with that value, of a secret that comes as files."""
        file = self._secret(key).get("file")
        if file is None:
            raise LookupError(f"Cannot find a file of secret value {key}: its secret comes as variables")
        return file

    def volume(self, path):
        """The folder of the volume that the function mounts at this path: that path in a container, elsewhere a folder of the node."""
        if path not in self._volumes:
            there = ", ".join(self._volumes) or "no paths"
            raise LookupError(f"Cannot find a volume at {path}: this function mounts volumes at {there}")
        return self._volumes[path]

    def artifact(self, ref):
        """The bytes of an artifact of the workspace: `model` (its newest version), `model@3`, `model@production`."""
        return artifacts().load(self._host, ref)

    def artifact_file(self, ref):
        """The same bytes as a file of this container, for what is too large for the memory; returns its path."""
        return artifacts().load_file(self._host, ref)

    def _secret(self, key):
        if key not in self._secrets:
            there = ", ".join(self._secrets) or "none"
            raise LookupError(f"Cannot find secret value {key}: the secrets of this function have {there}")
        return self._secrets[key]


class Context(ContainerContext):
    """What a handler knows of its call, and what it can tell and keep. What costs time to make is made when it is asked for."""

    task = None
    ended = False
    reason = None
    """Why the call must end, once it must: `cancelled`, `timeout` or `preempted`."""
    _handlers = _notice = _preempted = _checkpoint = None

    def __init__(self, container, call, channel, host):
        self.app, self.function, self.container = container.app, container.function, container.container
        self.rank, self.world_size = container.rank, container.world_size
        self._secrets, self._volumes = container._secrets, container._volumes
        self.call_id, self.attempt = call["id"], call["attempt"]
        master = call.get("master")
        self.gang = Gang(master["address"], master["port"]) if master else None
        """Where rank 0 listens and the others connect; None when the function has one node."""
        self._call, self._channel, self._host = call["c"], channel, host

    @property
    def checkpoint(self):
        """Bytes that outlive this attempt."""
        if self._checkpoint is None:
            self._checkpoint = Checkpoint(self._host, self._call, lambda: not self.ended)
        return self._checkpoint

    @property
    def preempted(self):
        """An Event that is set when the call must give way to more important work; its next attempt goes on from its checkpoint."""
        with MAKING:
            if self._preempted is None:
                self._preempted = threading.Event()
            return self._preempted

    def on_preempt(self, handler):
        """Calls the handler when the call must give way: it may save a checkpoint. It may take the milliseconds that are left."""
        with MAKING:
            self._handlers = [*(self._handlers or []), handler]
            notice = self._notice
        if notice is not None:
            self._heed(handler, *notice)

    def log(self, text, **fields):
        """Writes one line to the call's log."""
        self._tell({"t": "log", "c": self._call, "text": line_of(text, fields)})

    def report(self, values=None, **more):
        """Records numbers of this moment: a loss, a learning rate."""
        self._event("report", encode({**(values or {}), **more}, "report"))

    def progress(self, done, total):
        """Says how far the call has come."""
        self._event("progress", encode({"done": done, "total": total}, "report"))

    def artifact(self, ref, content=None):
        """The same; or, with content (bytes or the path of a file), publishes the next version of that name, and returns its name,
        version, digest and size once it is committed."""
        if content is None:
            return super().artifact(ref)
        if self.ended:
            raise RuntimeError(f"Cannot publish artifact {ref}: the call has ended")
        return artifacts().publish(self._host, self._call, ref, content)

    def sent(self, value):
        """Sends one yield."""
        self._event("yield", f'{{"value":{encode(value, "yield", self._host.save_value)}}}')

    def preempt(self, deadline_ms, loop):
        with MAKING:
            if self._notice is not None:
                return
            self._notice = deadline_ms, loop
            handlers = self._handlers or []
        self.preempted.set()
        self._end("preempted")
        for handler in handlers:
            self._heed(handler, deadline_ms, loop)

    def cancel(self, reason, loop):
        self._end(reason)
        if self.task is not None:
            loop.call_soon_threadsafe(self.task.cancel)

    def _end(self, reason):
        self.reason = self.reason or reason
        self.cancelled.set()

    def _heed(self, handler, deadline_ms, loop):
        """Runs a handler beside the call: on its loop when it is async, else on a thread, since it waits for the host."""
        arguments = [deadline_ms] if takes_any(handler) else []

        def run():
            import asyncio
            try:
                value = handler(*arguments)
                if asyncio.iscoroutine(value):
                    asyncio.run_coroutine_threadsafe(value, loop).result() if loop else asyncio.run(value)
            except BaseException as error:
                self.log(f"A handler of on_preempt failed: {text_of(error)}")

        threading.Thread(target=run, daemon=True).start()

    def _event(self, kind, text):
        if not self.ended:
            self._channel.send_text(f'{{"t":"event","c":{self._call},"kind":"{kind}","data":{text}}}')

    def _tell(self, frame):
        if not self.ended:  # Of a call that has ended the host wants to hear nothing
            self._channel.send(frame)


def line_of(text, fields):
    """One line of a log: the text, or an object as JSON; then the fields as JSON."""
    line = text if isinstance(text, str) else to_json(text) if isinstance(text, dict) else str(text)
    return (f"{line} {to_json(fields)}" if fields else line)[:LOG_LINE_BYTES]


def warn(text):
    """Writes to stderr, which user code may have closed."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        pass


def artifacts():
    """Loaded on first use: what it imports takes longer than the rest of a start."""
    from . import artifacts

    return artifacts
