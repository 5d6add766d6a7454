"""Artifacts: published in pieces, and written down as they come, so that none is in memory whole unless it is asked for."""
import io
import json
import os
import tempfile
import time
from urllib.parse import quote

from .platform import PATIENCE_S, PAUSE_S, PAUSE_S_MAX, PlatformError, refusal

# As in sdk/protocol/limits.ts
ARTIFACT_PIECE_BYTES = 1024 * 1024


def publish(host, call, name, content):
    """Publishes bytes, or the file at a path; returns its name, version, digest and size."""
    with open(content, "rb") if isinstance(content, (str, os.PathLike)) else io.BytesIO(content) as source:
        pieces = iter(lambda: source.read(ARTIFACT_PIECE_BYTES), b"")
        return json.loads(host.upload(f"publish artifact {name}", {"t": "artifact-save", "c": call, "name": name}, pieces))


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
    """Asks again for a while when the platform is away; an answer that broke off is overwritten by the next."""
    gives_up_at, pause = time.monotonic() + PATIENCE_S, PAUSE_S
    while True:
        sink.seek(0)
        sink.truncate()
        try:
            status, pieces = host.fetch("GET", f"/v1/artifacts/{quote(ref, safe='')}/content", {}, b"")
            if status == 200:
                for piece in pieces:
                    sink.write(piece)
                return
            error = refusal(status, b"".join(pieces))
        except ConnectionError as lost:
            status, error = 503, PlatformError("bad_gateway", f"Cannot load artifact {ref}: {lost}")
        if status < 500 and status != 429 or time.monotonic() > gives_up_at:
            raise error
        time.sleep(pause)
        pause = min(PAUSE_S_MAX, 2 * pause)
