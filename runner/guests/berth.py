"""Berth for Python code that it runs: marks for classes, and calls of other functions. Standard library only.

    from berth import enter, exit, method

    class Model:
        @enter
        def load(self):
            self.weights = read_weights()

        @method
        def predict(self, input, ctx):
            return apply(self.weights, input)

Outside Berth the marks change nothing, so that the same file can be imported, tested and used anywhere.
"""

__all__ = ["CallFailedError", "Function", "NonRetryableError", "PlatformError", "Call", "enter", "exit", "marked", "method"]

MARK = "__berth__"
CONTEXT = ("Checkpoint", "ContainerContext", "Context", "Gang")


def __getattr__(name):
    """What handlers are given, to name it in annotations. Loaded on first use: a guest has it by then."""
    if name not in CONTEXT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from berth_guest import context

    return getattr(context, name)


def method(code):
    """Makes a method callable, as `Class.method`. It gets the call's input, and the context if it wants it."""
    return mark(code, "method")


def enter(code):
    """Runs a method once per container, before there are calls. It may take a context of the container."""
    return mark(code, "enter")


def exit(code):
    """Runs a method when its container ends."""
    return mark(code, "exit")


def mark(code, kind):
    if not callable(code):
        raise TypeError(f"Cannot mark {code!r} with @{kind}: it must be a method")
    setattr(code, MARK, getattr(code, MARK, frozenset()) | {kind})
    return code


def marked(cls, kind):
    """Names of the members of a class that are marked so, its parents' first, in the order in which they were written."""
    found = [name for base in reversed(cls.__mro__) for name, code in vars(base).items() if kind in getattr(code, MARK, ())]
    return list(dict.fromkeys(found))


class PlatformError(Exception):
    """Berth refused or could not do what was asked."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class CallFailedError(Exception):
    """A call ended without a result; `failure` says whose fault it was."""

    def __init__(self, call_id, failure):
        super().__init__(f"Call {call_id} failed ({failure['kind']}): {failure['message']}")
        self.call_id, self.failure = call_id, failure


class NonRetryableError(Exception):
    """Raised by a handler when another attempt cannot help: whatever `retries` says, there will be none."""

    retryable = False


class Call:
    """A call that has been made."""

    def __init__(self, id):
        self.id = id

    def result(self):
        """The result, once there is one. Raises CallFailedError when the call ended without."""
        return _platform().result(self.id)

    def cancel(self):
        """Ends the call, running or not."""
        _platform().cancel(self.id)


class Function:
    """A deployed function by its names: `Function.from_name("digits", "train").remote({"epochs": 3})`. Its calls block; in an async
    handler, `await asyncio.to_thread(function.remote, input)`."""

    def __init__(self, app, name):
        self.app, self.name = app, name

    @staticmethod
    def from_name(app, name):
        return Function(app, name)

    def remote(self, input=None):
        """Calls, and waits for the result. Raises CallFailedError when there is none."""
        return self.spawn(input).result()

    def spawn(self, input=None):
        """Calls without waiting for the result."""
        (id,) = _platform().create(self.app, self.name, [input])
        return Call(id)

    def map(self, inputs):
        """Calls once per input, and gives the results in order. Raises CallFailedError at the first that has none."""
        inputs = list(inputs)
        return _platform().results(_platform().create(self.app, self.name, inputs)) if inputs else iter(())


def connect(platform):
    """Says through whom to call. For the guest alone."""
    global _connected
    _connected = platform


_connected = None


def _platform():
    if _connected is None:
        raise RuntimeError("Cannot call a function: this process does not run in Berth")
    return _connected
