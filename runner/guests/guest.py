"""The guest that runs Python: a small program inside the container that speaks the guest protocol (frames.ts).

A runner starts it, with SLOT a folder of this container's own, as

    BERTH_SLOT=SLOT python3 ROOT/runner/guests/guest.py

where python3 is that of the function's virtual environment when it has one. It connects to SLOT/control.sock, says
`hello` and waits for `load`, whose path is the folder of the bundle. It needs nothing but the standard library.

A handler takes the input, and a Context if it wants one; it may be async, and it may be a generator, whose yields are
sent as events and whose return value is the result. Sync handlers run on the main thread, further ones of a function
with concurrency on threads; async handlers share one event loop on the main thread.
"""
import importlib
import os
import sys
import threading

sys.dont_write_bytecode = True  # Bundles are kept by digest: nothing may be added to them

from berth_guest.channel import Channel, Host
from berth_guest.wire import describe
from berth_guest.work import Work


def load(frame):
    """Imports the module and finds the function: `train.py:finetune` in the folder of the bundle."""
    file, name = frame["entry"].rsplit(":", 1)
    sys.path.append(sys.path[0])  # This file's own folder goes last: processes that the code spawns import it again
    sys.path[0] = frame["path"]
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    handler = getattr(module, name, None)
    if not callable(handler):
        raise AttributeError(f"{file} has no function {name}")
    return handler


def main():
    sys.stdout.reconfigure(line_buffering=True)
    channel = Channel(os.path.join(os.environ["BERTH_SLOT"], "control.sock"))
    host = Host(channel)
    wanted = threading.Event()
    state = {"load": None, "work": None}

    def read():
        for frame, body in channel.frames():
            kind, work = frame["t"], state["work"]
            if kind == "reply":
                host.reply(frame, body)
            elif kind == "chunk":
                host.chunk(frame, body)
            elif kind == "load":
                state["load"] = frame
                wanted.set()
            elif work is None:
                if kind == "drain":
                    os._exit(0)  # Before there was anything to do
            elif kind == "call":
                work.push(frame)
            elif kind == "cancel":
                work.cancel(frame)
            elif kind == "preempt":
                work.preempt(frame)
            elif kind == "recall":
                work.recall()
            elif kind == "drain":
                work.drain()
        os._exit(0)  # The host has gone

    channel.send({"t": "hello", "protocol": 1, "pid": os.getpid()})
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wanted.wait()
    try:
        handler = load(state["load"])
    except BaseException as error:
        channel.send({"t": "broken", **describe(error)})
        reader.join()  # Until the host has gone
    state["work"] = work = Work(handler, state["load"], channel, host)
    channel.send({"t": "ready"})
    work.run()


if __name__ == "__main__":
    main()
