"""Signal handlers of user code run on the main thread whenever the signal comes, also between two calls or in the middle of a frame
that is being sent. What they raise there would break the guest, or another handler that runs there, so it is said and dropped; in the
user code of a call it is raised.
"""
import functools
import os
import signal

from .context import warn
from .wire import OURS, describe

LIBRARY = os.path.dirname(os.__file__) + os.sep
"""Of Python itself: it runs for whom it was called by."""


def guard_handlers():
    """From now on `signal.signal` guards what it is given, and shows it unguarded."""
    signal.signal, signal.getsignal = guarding(signal.signal), unguarding(signal.getsignal)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_loop_alone():
    """`asyncio.run` takes over SIGINT where nobody else has, and would end the loop of the guest by it."""
    signal.signal(signal.SIGINT, lambda *seen: signal.default_int_handler(*seen))


def guarding(install):
    @functools.wraps(install)
    def guarded(number, handler):
        return bare(install(number, guard(handler) if callable(handler) else handler))
    return guarded


def unguarding(find):
    return functools.wraps(find)(lambda number: bare(find(number)))


def guard(handler):
    def guarded(number, frame):
        heed(handler, number, frame)
    guarded.handler = handler
    return guarded


def heed(handler, number, frame):
    try:
        handler(number, frame)
    except (Exception, KeyboardInterrupt) as error:
        if not in_guest(interrupted(frame)):
            raise
        warn(f"A signal handler failed outside of user code: {describe(error)['message']}")


def bare(handler):
    return getattr(handler, "handler", handler)


def interrupted(frame):
    """Where the code stood before the first of the handlers that run now: signals come during handlers too."""
    stood = frame
    while frame is not None:
        if frame.f_code is heed.__code__:
            stood = frame.f_back.f_back
        frame = frame.f_back
    return stood


def in_guest(frame):
    """Whether the guest itself ran there, or waited."""
    while frame is not None and of_library(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is None or frame.f_code.co_filename.startswith(OURS)


def of_library(file):
    return file.startswith("<frozen ") or file.startswith(LIBRARY) and "-packages" + os.sep not in file
