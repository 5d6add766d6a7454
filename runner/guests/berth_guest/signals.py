"""Signal handlers of user code run on the main thread whenever the signal comes, also between two calls or in the middle of a frame
that is being sent. What they raise there would break the guest, so it is said and dropped; in user code it is raised.
"""
import functools
import signal

from .context import warn
from .wire import describe, is_ours


def guard_handlers():
    """From now on `signal.signal` guards what it is given, and shows it unguarded."""
    signal.signal, signal.getsignal = guarding(signal.signal), unguarding(signal.getsignal)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def guarding(install):
    @functools.wraps(install)
    def guarded(number, handler):
        return bare(install(number, guard(handler) if callable(handler) else handler))
    return guarded


def unguarding(find):
    return functools.wraps(find)(lambda number: bare(find(number)))


def guard(handler):
    def guarded(number, frame):
        try:
            handler(number, frame)
        except (Exception, KeyboardInterrupt) as error:
            if not in_guest(frame):
                raise
            warn(f"A signal handler failed outside of user code: {describe(error)['message']}")
    guarded.handler = handler
    return guarded


def bare(handler):
    return getattr(handler, "handler", handler)


def in_guest(frame):
    """Whether a signal came while the guest itself ran, or waited."""
    while frame is not None and frame.f_globals.get("__name__") in ("threading", "queue"):
        frame = frame.f_back
    return frame is None or is_ours(frame.f_code.co_filename)
