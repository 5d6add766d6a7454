"""The calls of one guest: first in first out, at most `concurrency` at once."""
import os
import sys
import threading
from collections import deque
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from .context import Context, warn
from .wire import describe, encode, is_retryable


class Cancelled(Exception):
    """The call was cancelled or ran out of time."""


class Work:
    """The calls of this guest: first in first out, at most `concurrency` at once."""

    def __init__(self, code, container, concurrency, channel, host):
        self._methods, self._is_async = code.methods, code.is_async
        self._container, self._channel, self._host = container, channel, host
        self._concurrency = concurrency
        self._waiting = deque()
        self._running = {}
        self._next = 0
        self._changed = threading.Condition()
        self._threads, self._idle = 1, 0
        self._draining = False
        self._loop = None
        self._wake = None

    # What the reading thread says

    def push(self, calls):
        with self._changed:
            self._waiting.extend(calls)
            self._next = calls[-1]["c"] + 1
            while not self._is_async and self._idle < len(self._waiting) and self._threads < self._concurrency:
                self._threads += 1
                self._idle += 1
                threading.Thread(target=self._work_beside, daemon=True).start()
            self._notify()

    def resumes(self):
        """The host is back: what runs. What has not begun never will."""
        with self._changed:
            self._waiting.clear()
            running = [{"c": c, "id": ctx.call_id, "attempt": ctx.attempt} for c, ctx in self._running.items()]
            return {"next": self._next, "running": running}

    def cancel(self, frame):
        with self._changed:
            running = self._running.get(frame["c"])
            dropped = [call for call in self._waiting if call["c"] == frame["c"]]
            for call in dropped:
                self._waiting.remove(call)
        if running is not None:
            running.cancel(frame["reason"], self._loop)
        for call in dropped:
            self._fail(call["c"], Cancelled("It never started"))

    def preempt(self, frame):
        with self._changed:
            running = list(self._running.values())
        for ctx in running:
            ctx.preempt(frame["deadlineMs"], self._loop)

    def recall(self):
        with self._changed:
            calls = [call["c"] for call in self._waiting]
            self._waiting.clear()
        self._channel.send({"t": "recalled", "calls": calls})

    def drain(self):
        with self._changed:
            self._draining = True
            self._notify()

    def _notify(self):
        self._changed.notify_all()
        if self._wake is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    # Running, where handlers are sync

    def run(self):
        """Runs calls until drained. On the main thread, where libraries expect to be."""
        self._work()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def _work_beside(self):
        with self._changed:
            self._idle -= 1
        self._work()

    def _work(self):
        while (taken := self._take()) is not None:
            call, ctx = taken
            self._settle(call["c"], ctx, partial(self._call_sync, call, ctx))

    def _take(self):
        with self._changed:
            while not self._waiting:
                if self._draining:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            return self._start()

    def _start(self):
        call = self._waiting.popleft()
        ctx = self._running[call["c"]] = Context(self._container, call, self._channel, self._host)
        if ctx.gang is not None:  # One call at a time, so the environment is that call's
            os.environ.update(MASTER_ADDR=ctx.gang.master_address, MASTER_PORT=str(ctx.gang.master_port))
        return call, ctx

    def _invoke(self, call, ctx):
        method = self._methods.get(call["method"])
        if method is None:
            raise TypeError(f"Cannot run {call['method']}: {ctx.function} has no such method")
        return method.call(self._host.incoming(call["input"]), ctx)

    def _call_sync(self, call, ctx):
        value = self._invoke(call, ctx)
        if isinstance(value, (CoroutineType, AsyncGeneratorType)):  # Of a handler that does not look async
            import asyncio
            return asyncio.run(finished(value, ctx))
        return drained(value, ctx) if isinstance(value, GeneratorType) else value

    # Running, where any handler is async

    async def run_async(self):
        """Runs calls until drained, on the event loop of the main thread."""
        import asyncio
        with self._changed:
            self._wake, self._loop = asyncio.Event(), asyncio.get_running_loop()
        tasks = set()
        while True:
            self._wake.clear()
            with self._changed:
                started = [self._start() for _ in range(min(len(self._waiting), self._concurrency - len(tasks)))]
                ended = self._draining and not started and not tasks
            if ended:
                return
            for call, ctx in started:
                tasks.add(task := asyncio.create_task(self._run_async(call, ctx)))
                task.add_done_callback(partial(self._ended, tasks, call, ctx))
                ctx.task = task
                if ctx.reason is not None:  # Before there was a task to cancel
                    task.cancel()
            await self._wake.wait()

    def _ended(self, tasks, call, ctx, task):
        tasks.discard(task)
        self._wake.set()
        if not ctx.ended:  # Cancelled before its first step
            self._settle(call["c"], ctx, partial(raised, Cancelled("It never started")))

    async def _run_async(self, call, ctx):
        try:
            value = await self._await(call, ctx)
        except BaseException as error:
            value, caught = None, error
            self._settle(call["c"], ctx, partial(raised, caught))
        else:
            self._settle(call["c"], ctx, lambda: value)

    async def _await(self, call, ctx):
        method = self._methods.get(call["method"])
        if method is not None and not method.is_async and self._concurrency > 1:  # It would hold the others up
            import asyncio
            return await asyncio.to_thread(self._call_sync, call, ctx)
        return await finished(self._invoke(call, ctx), ctx)

    # How calls end

    def _settle(self, c, ctx, work):
        """Runs the work and says how it ended, once."""
        try:
            text = encode(work(), "return", self._host.save_value)
        except SystemExit as leave:
            exit_with(leave.code)
        except BaseException as error:
            self._end(ctx, lambda: self._fail(c, error))
        else:
            self._end(ctx, lambda: self._channel.send_text(f'{{"t":"result","c":{c},"v":{text}}}'))
        with self._changed:
            del self._running[c]
            if self._draining:
                self._changed.notify_all()

    def _end(self, ctx, say):
        ctx.ended = True
        if not self._channel.ours:
            exit_with(0)  # User code forked, and its child came back from the handler
        say()

    def _fail(self, c, error):
        self._channel.send({"t": "error", "c": c, **describe(error), "retryable": is_retryable(error)})


def drained(values, ctx):
    """Sends what a generator yields, and returns what it returns."""
    while True:
        try:
            ctx.sent(next(values))
        except StopIteration as end:
            return end.value
        if ctx.reason is not None:
            values.close()
            raise Cancelled("It was a generator, and ended at a yield")


async def finished(value, ctx):
    if isinstance(value, AsyncGeneratorType):
        async for item in value:
            ctx.sent(item)
        return None
    if isinstance(value, GeneratorType):
        return drained(value, ctx)
    return await value if hasattr(value, "__await__") else value


def exit_with(code):
    """Ends the process as `sys.exit(code)` would, whatever runs."""
    if code is not None and not isinstance(code, int):
        warn(code)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # Closed by user code
    os._exit((code if isinstance(code, int) else code is not None) & 0xFF)


def raised(error):
    raise error
