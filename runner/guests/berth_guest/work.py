"""The calls of one guest: first in first out, at most `concurrency` at once."""
import asyncio
import inspect
import os
import sys
import threading
from collections import deque
from functools import partial

from .context import Context
from .wire import describe, encode, reference


class Cancelled(Exception):
    """The call was cancelled or ran out of time."""


class Work:
    """The calls of this guest: first in first out, at most `concurrency` at once."""

    def __init__(self, handler, load, channel, host):
        self._handler, self._load, self._channel, self._host = handler, load, channel, host
        self._arguments = arguments_of(handler)
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)
        self._concurrency = load["concurrency"]
        self._waiting = deque()
        self._running = {}
        self._changed = threading.Condition()
        self._threads, self._idle = 1, 0
        self._draining = False
        self._loop = None
        self._wake = None

    # What the reading thread says

    def push(self, call):
        with self._changed:
            self._waiting.append(call)
            if not self._is_async and self._idle < len(self._waiting) and self._threads < self._concurrency:
                self._threads += 1
                threading.Thread(target=self.work, daemon=True).start()
            self._notify()

    def cancel(self, frame):
        with self._changed:
            running = self._running.get(frame["c"])
            dropped = [call for call in self._waiting if call["c"] == frame["c"]]
            for call in dropped:
                self._waiting.remove(call)
        if running is not None:
            running.cancel(self._loop)
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

    # Running

    def run(self):
        """Runs calls until drained. On the main thread, where libraries expect to be."""
        if self._is_async:
            return asyncio.run(self._work_async())
        self.work()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    def work(self):
        while (taken := self._take()) is not None:
            call, ctx = taken
            self._settle(call, ctx, lambda: self._call_sync(call, ctx))

    def _take(self):
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._draining)
            self._idle -= 1
            return self._start() if self._waiting else None

    def _start(self):
        call = self._waiting.popleft()
        ctx = self._running[call["c"]] = Context(self._load, call, self._channel, self._host)
        if ctx.gang is not None:  # One call at a time, so the environment is that call's
            os.environ.update(MASTER_ADDR=ctx.gang.master_address, MASTER_PORT=str(ctx.gang.master_port))
        return call, ctx

    def _call_sync(self, call, ctx):
        value = self._invoke(call, ctx)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        if not inspect.isgenerator(value):
            return value
        while True:
            try:
                ctx.sent(next(value))
            except StopIteration as end:
                return end.value
            if ctx.cancelled.is_set():
                value.close()
                raise Cancelled("It was a generator, and ended at a yield")

    async def _work_async(self):
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
                if ctx.cancelled.is_set():  # Before there was a task to cancel
                    task.cancel()
            await self._wake.wait()

    def _ended(self, tasks, call, ctx, task):
        tasks.discard(task)
        self._wake.set()
        if not ctx.ended:  # Cancelled before its first step
            self._settle(call, ctx, lambda: raised(Cancelled("It never started")))

    async def _run_async(self, call, ctx):
        try:
            value = await self._await(call, ctx)
        except BaseException as error:
            value, caught = None, error
            self._settle(call, ctx, lambda: raised(caught))
        else:
            self._settle(call, ctx, lambda: value)

    async def _await(self, call, ctx):
        value = self._invoke(call, ctx)
        if not inspect.isasyncgen(value):
            return await value
        async for item in value:
            ctx.sent(item)
        return None

    def _invoke(self, call, ctx):
        large = reference(call["input"])
        values = {"input": self._host.load_value(large) if large else call["input"], "ctx": ctx}
        positional, keyword = self._arguments
        return self._handler(*[values[name] for name in positional], **{name: values[name] for name in keyword})

    def _settle(self, call, ctx, work):
        """Runs the work and says how it ended, once."""
        c = call["c"]
        try:
            text = encode(work(), "return", self._host.save_value)
        except SystemExit as leave:
            sys.stdout.flush()
            os._exit(leave.code if isinstance(leave.code, int) else leave.code is not None)
        except BaseException as error:
            ctx.ended = True
            self._fail(c, error)
        else:
            ctx.ended = True
            self._channel.send_text(f'{{"t":"result","c":{c},"v":{text}}}')
        with self._changed:
            del self._running[c]
            if self._draining:
                self._changed.notify_all()

    def _fail(self, c, error):
        retryable = getattr(error, "retryable", True) is not False
        self._channel.send({"t": "error", "c": c, **describe(error), "retryable": retryable})


def raised(error):
    raise error


def arguments_of(handler):
    """Which of input and ctx the handler takes, by position and by keyword."""
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY and p.name == "ctx"]
    if any(p.kind == p.VAR_POSITIONAL for p in parameters) or len(positional) > 1:
        return ["input", "ctx"], keyword
    return ["ctx" if name == "ctx" else "input" for name in positional], keyword
