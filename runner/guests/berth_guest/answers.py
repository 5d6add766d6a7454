"""What the host answers: at once, or in chunks. The thread that reads the socket fills them in, others wait."""
import threading


class Reply:
    """One frame, and its body if it has one."""

    def __init__(self):
        self._done = threading.Event()
        self._frame, self._body = None, None

    @property
    def over(self):
        return self._done.is_set()

    def begin(self, frame, body):
        """True when it is over."""
        self._frame, self._body = frame, body
        self._done.set()
        return True

    def wait(self):
        """The body, or the host's reason as an exception."""
        self._done.wait()
        if not self._frame["ok"]:
            raise RuntimeError(self._frame.get("message", "the host refused"))
        return self._body


class Answer:
    """An answer of the platform. What comes with status 200 goes to the sink as it comes, any other is kept as text."""

    def __init__(self, sink):
        self._done = threading.Event()
        self._sink, self._text = sink, bytearray()
        self._status, self._failure = None, None

    @property
    def over(self):
        return self._done.is_set()

    def begin(self, frame, _body):
        """The first reply begins the answer; one that is not ok ends it. True when it is over."""
        if frame["ok"]:
            self._status = frame["status"]
        else:
            self._end(ConnectionError(frame.get("message", "the host could not pass the request on")))
        return self.over

    def take(self, body, last):
        """Takes a chunk. False when it could not be kept, which whoever waits hears of."""
        try:
            if body:
                self._sink.write(body) if self._status == 200 else self._text.extend(body)
        except OSError as error:
            self._end(error)
            return False
        if last:
            self._end()
        return True

    def wait(self):
        """Status, and text of what is not 200."""
        self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self._status, self._text.decode("utf-8", "replace")

    def _end(self, failure=None):
        self._failure = failure
        self._done.set()
