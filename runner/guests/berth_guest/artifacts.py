"""Artifacts: published in pieces, and written down as they come, so that none is in memory whole unless it is asked for."""
import hashlib
import io
import json
import os
import tempfile
import time
from urllib.parse import quote

from .platform import PATIENCE_S, PAUSE_S, PlatformError, fetch

# As in sdk/protocol/limits.ts
ARTIFACT_PIECE_BYTES = 1024 * 1024


def publish(host, call, name, content):
    """Publishes bytes, or the file at a path; returns its name, version, digest and size."""
    with open(content, "rb") if isinstance(content, (str, os.PathLike)) else io.BytesIO(content) as source:
        frame = {"t": "artifact-save", "c": call, "name": name}
        return json.loads(host.upload(f"publish artifact {name}", frame, source, ARTIFACT_PIECE_BYTES))


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
    """The version that the reference means now, whole and with its digest: where an answer breaks off, the rest is asked for."""
    found = json.loads(b"".join(fetch(host, "GET", path_of(ref))))
    path = f"{path_of('{name}@{version}'.format(**found))}/content"
    size, digest = found["size"], hashlib.sha256()
    at, gives_up_at = 0, time.monotonic() + PATIENCE_S
    while at < size:
        try:
            before = at
            for piece in fetch(host, "GET", path, {"range": f"bytes={at}-"} if at else {}):
                sink.write(piece)
                digest.update(piece)
                at, gives_up_at = at + len(piece), time.monotonic() + PATIENCE_S
            if at == before:
                raise ConnectionError("nothing came")
        except ConnectionError as lost:
            if time.monotonic() > gives_up_at:
                raise PlatformError("bad_gateway", f"Cannot load artifact {ref}: {lost}") from None
            time.sleep(PAUSE_S)
    if digest.hexdigest() != found["digest"]:
        raise PlatformError("internal", f"Cannot load artifact {ref}: its SHA-256 is {digest.hexdigest()}, not {found['digest']}")


def path_of(ref):
    return f"/v1/artifacts/{quote(ref, safe='')}"
