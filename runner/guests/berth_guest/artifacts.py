"""Artifacts: published in pieces, and written down as they come, so that none is ever in memory whole unless it is asked for."""
import io
import json
import os
import tempfile
import time
from urllib.parse import quote

from .answers import Answer, Reply

# As in sdk/protocol/limits.ts
ARTIFACT_PIECE_BYTES = 1024 * 1024

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8) + (1,) * 58
"""For about a minute the platform may be away."""


def publish(host, call, name, content):
    """Publishes bytes, or the file at a path; returns its name, version, digest and size."""
    with open(content, "rb") if isinstance(content, (str, os.PathLike)) else io.BytesIO(content) as source:
        reply = Reply()
        frame = {"t": "artifact-save", "n": host.expect(reply), "c": call, "name": name}
        at = 0
        while not reply.over and (piece := source.read(ARTIFACT_PIECE_BYTES)):
            host.send({**frame, "at": at, "bytes": len(piece)}, piece)
            at += len(piece)
        host.send({**frame, "at": at, "bytes": 0})  # An empty piece ends it
        return json.loads(reply.wait())


def load(host, ref):
    sink = io.BytesIO()
    write_to(host, ref, sink)
    return sink.getvalue()


def load_file(host, ref):
    """Writes the artifact to a file of this container, which goes with it; returns its path."""
    handle, path = tempfile.mkstemp(prefix="artifact-", dir=os.environ["BERTH_SLOT"])
    with open(handle, "wb") as sink:
        write_to(host, ref, sink)
    return path


def write_to(host, ref, sink):
    """Asks again while the platform is away; an answer that broke off is overwritten by the next."""
    for pause in PAUSES:
        sink.seek(0)
        sink.truncate()
        try:
            status, text = get(host, f"/v1/artifacts/{quote(ref, safe='')}/content", sink)
        except ConnectionError as error:
            text = str(error)
        else:
            if status == 200:
                return
            if status < 500 and status != 429:
                raise LookupError(said(text))
        time.sleep(pause)
    raise RuntimeError(f"Cannot load artifact {ref}: {said(text)}")


def get(host, path, sink):
    answer = Answer(sink)
    host.send({"t": "fetch", "n": host.expect(answer), "method": "GET", "path": path})
    return answer.wait()


def said(text):
    """The sentence in the platform's refusal."""
    try:
        return json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return text
