"""The guest that runs Python: a small program inside the container that speaks the guest protocol (frames.ts).

A runner starts it, with SLOT a folder of this container's own, as

    BERTH_SLOT=SLOT python3 ROOT/runner/guests/guest.py

where python3 is that of the function's virtual environment when it has one. It connects to SLOT/control.sock, says
`hello` and waits for `load`, whose path is the folder of the bundle. It needs nothing but the standard library.

A handler takes the input, and a Context if it wants one; it may be async, and it may be a generator, whose yields are
sent as events and whose return value is the result. Sync handlers run on the main thread, further ones of a function
with concurrency on threads; async handlers share one event loop on the main thread. A class is built once; what it marks
by `berth.enter` runs before `ready`, what it marks by `berth.exit` at the end.
"""
import faulthandler
import importlib
import os
import sys
import threading
import traceback

sys.dont_write_bytecode = True  # Bundles are kept by digest: nothing may be added to them

import berth
from berth_guest.channel import Channel, Host
from berth_guest.code import load, run_hook
from berth_guest.context import ContainerContext, warn
from berth_guest.platform import Platform
from berth_guest.signals import guard_handlers, leave_loop_alone
from berth_guest.wire import describe
from berth_guest.work import Work, finished


class Guest:
    """One container's code and the calls it is given."""

    def __init__(self):
        self._slot = os.environ["BERTH_SLOT"]
        self._channel = Channel(os.path.join(self._slot, "control.sock"))
        self._host = Host(self._channel)
        self._load, self._wanted = None, threading.Event()
        self._work = None
        berth.connect(Platform(self._host))

    def run(self):
        self._channel.send(hello())
        threading.Thread(target=self._read, daemon=True).start()
        self._wanted.wait()
        os.environ.update(variables(self._load))
        try:
            code = load(self._load)
        except BaseException as error:
            self._broken(error)
        ctx = ContainerContext(self._load, self._host)
        if code.is_async:
            import asyncio
            leave_loop_alone()
            asyncio.run(self._serve_async(code, ctx))
        else:
            self._serve(code, ctx)

    def _serve(self, code, ctx):
        try:
            for hook in code.enter:
                run_hook(hook, ctx)
        except BaseException as error:
            self._broken(error)
        self._ready(code, ctx).run()
        for hook in code.exit:
            try:
                run_hook(hook, ctx)
            except Exception as error:
                warn(f"exit failed: {describe(error)['stack']}")

    async def _serve_async(self, code, ctx):
        try:
            for hook in code.enter:
                await finished(run_hook(hook, ctx), ctx)
        except BaseException as error:
            self._broken(error)
        await self._ready(code, ctx).run_async()
        for hook in code.exit:
            try:
                await finished(run_hook(hook, ctx), ctx)
            except Exception as error:
                warn(f"exit failed: {describe(error)['stack']}")

    def _ready(self, code, ctx):
        self._work = Work(code, ctx, self._load["concurrency"], self._channel, self._host)
        self._channel.send({"t": "ready"})
        return self._work

    def _broken(self, error):
        self._channel.send({"t": "broken", **describe(error)})
        threading.Event().wait()  # Until the host has gone, as the reading thread finds out

    def _read(self):
        try:
            here = True
            while here:
                for frames in self._channel.frames():
                    self._receive(frames)
                here = self._work is not None and self._channel.resume(self._greeting)
        except OSError:
            pass
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)  # The host has gone: nothing that is done now would count

    def _greeting(self):
        self._host.forget()
        return {**hello(), "resumes": self._work.resumes()}

    def _receive(self, frames):
        calls = []
        for frame, body in frames:
            if frame["t"] == "call":
                calls.append(frame)
                continue
            if calls:
                self._work.push(calls)
                calls = []
            self._heed(frame, body)
        if calls:
            self._work.push(calls)

    def _heed(self, frame, body):
        kind, work = frame["t"], self._work
        if kind == "reply" or kind == "chunk":
            self._host.answer(frame, body)
        elif kind == "load":
            if "resumeMs" in frame:
                self._channel.let_back(os.path.join(self._slot, "resume.sock"), frame["resumeMs"] / 1_000)
            self._load = frame
            self._wanted.set()
        elif work is None:
            if kind == "drain":
                os._exit(0)  # Before there was anything to do
        elif kind == "cancel":
            work.cancel(frame)
        elif kind == "preempt":
            work.preempt(frame)
        elif kind == "recall":
            work.recall()
        elif kind == "drain":
            work.drain()


def hello():
    return {"t": "hello", "protocol": 1, "pid": os.getpid()}


def variables(load):
    """Secrets that do not come as files."""
    return {key: it["value"] for key, it in load.get("secrets", {}).items() if "file" not in it}


def import_ahead(modules):
    """Imports what the code will need while it is awaited. What is wrong with a module the code finds out itself."""
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:
            print(f"Cannot preload {module}: {type(error).__name__}: {error}", file=sys.stderr)
    sys.argv[1:] = []


def main():
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # Nothing that is printed fails a call
    try:
        faulthandler.enable(all_threads=False)  # A crash says in which line
    except (AttributeError, OSError, ValueError):
        pass  # There is no stderr
    guard_handlers()
    Guest().run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--preload"]:
        from berth_guest.forks import ForkServer, become
        become(ForkServer(sys.argv[2].split(",")).serve())
    elif sys.argv[1:2] == ["--import"]:
        import_ahead(sys.argv[2].split(","))
    main()
