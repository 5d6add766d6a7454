"""Calls of other functions: requests to the platform's api, made in the name of this container by its host."""
import json
import os
import time
from urllib.parse import quote

from berth import CallFailedError, PlatformError

from .wire import encode

INPUTS_PER_REQUEST = 5_000  # As in sdk/protocol/limits.ts
PATIENCE_S = 60
"""How long a platform that does not answer is asked again. Keys make repeats harmless."""
PAUSE_S, PAUSE_S_MAX = 0.1, 5


class Platform:
    """What `berth.Function` and `berth.Call` are made of."""

    def __init__(self, host):
        self._host = host

    def create(self, app, name, inputs):
        """Creates a call per input; their ids, in order."""
        path = f"/v1/apps/{quote(app, safe='')}/functions/{quote(name, safe='')}/calls"
        texts = [encode(value, "send", self._host.save_value) for value in inputs]
        ids = []
        for at in range(0, len(texts), INPUTS_PER_REQUEST):
            some = texts[at:at + INPUTS_PER_REQUEST]
            key = f"sdk-{os.urandom(16).hex()}"
            created = self._ask("POST", path, f'{{"inputs":[{",".join(some)}]}}', {"idempotency-key": key})
            ids += [call_id(created["batch"], index) for index in range(len(some))]
        return ids

    def result(self, id):
        """The result of one call, once there is one."""
        return next(self.results([id]))

    def cancel(self, id):
        self._ask("POST", f"/v1/calls/{quote(id, safe='')}/cancel", "{}")

    def results(self, ids):
        """Results in the order of the calls, which lie in batches one after another."""
        known, batch, lines = {}, None, iter(())
        for id in ids:
            its_batch, index = batch_of(id)
            if its_batch != batch:
                known, batch, lines = {}, its_batch, iter(())
            while index not in known:
                line = next(lines, None)
                if line is None:  # Not asked yet, or cut off
                    lines = self._lines(f"/v1/batches/{batch}/results?from={index}")
                else:
                    known[line[0]] = line
            yield self._host.incoming(value_of(id, *known.pop(index)[1:]))

    def _lines(self, path):
        """Lines of JSON as they come. Ends when the connection does, however that happens."""
        try:
            rest = b""
            for piece in self._fetch("GET", path):
                *lines, rest = (rest + piece).split(b"\n")
                yield from filter(None, map(json.loads, filter(bytes.strip, lines)))
        except ConnectionError:
            pass
        time.sleep(PAUSE_S)

    def _ask(self, method, path, body, headers={}):
        return json.loads(b"".join(self._fetch(method, path, body, headers)))

    def _fetch(self, method, path, body=None, headers={}):
        data = b"" if body is None else body.encode("utf-8", "backslashreplace")
        return fetch(self._host, method, path, {"content-type": "application/json", **headers}, data)


def fetch(host, method, path, headers={}, data=b""):
    """The pieces of an answer. What is away is asked again for a while; what is refused is a PlatformError."""
    gives_up_at, pause = time.monotonic() + PATIENCE_S, PAUSE_S
    while True:
        try:
            status, pieces = host.fetch(method, path, headers, data)
            if status < 400:
                return pieces
            error = refusal(status, b"".join(pieces))
        except ConnectionError as lost:
            status, error = 503, PlatformError("bad_gateway", f"Cannot ask the platform: {lost}")
        if status < 500 and status != 429 or time.monotonic() > gives_up_at:
            raise error
        time.sleep(pause)
        pause = min(PAUSE_S_MAX, 2 * pause)


def refusal(status, body):
    try:
        error = json.loads(body)["error"]
        return PlatformError(error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        return PlatformError("internal", f"Cannot read the platform's answer: it has status {status}")


def value_of(id, state, result=None, failure=None):
    """A result's value, or the failure as an exception."""
    if state == "succeeded":
        return result
    message = "It expired before it could start" if state == "expired" else "It was cancelled"
    raise CallFailedError(id, failure or {"kind": "cancelled", "message": message, "retryable": False})


DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def call_id(batch, index):
    """`call_<batch>_<index>`, as sdk/protocol/ids.ts writes it."""
    text = DIGITS[index % 36]
    while index := index // 36:
        text = DIGITS[index % 36] + text
    return f"call_{batch.removeprefix('batch_')}_{text}"


def batch_of(id):
    """The batch of a call, and its place in there."""
    try:
        _, batch, index = id.split("_")
        return f"batch_{batch}", int(index, 36)
    except ValueError:
        raise ValueError(f"Cannot read the call id {id!r}: expected call_BATCH_INDEX") from None
