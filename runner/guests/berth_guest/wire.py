"""What travels: values as JSON within the limits, and exceptions as message and stack."""
import json
import math
import os
import re
import traceback

# As in sdk/protocol/limits.ts
RESULT_BYTES = 4 * 1024 * 1024
CHECKPOINT_BYTES = 1024 * 1024 * 1024
LOG_LINE_BYTES = 16 * 1024
FAILURE_MESSAGE_LENGTH = 8_192
FAILURE_STACK_LENGTH = 16_384

# As in runner/framing.ts, less the frame around the value
DEPTH_MAX = 500 - 3
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')

OURS = os.path.dirname(os.path.dirname(__file__))


class Unsendable(TypeError):
    """A value that cannot travel as JSON. Another attempt would return the same."""

    retryable = False


def plain(value):
    """What JSON does not know, as what it does: arrays and tensors as lists, dataclasses as objects."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    raise TypeError(f"a {type(value).__name__} is not JSON")


STRICT = json.JSONEncoder(default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
LENIENT = json.JSONEncoder(default=lambda value: finite(plain(value)), ensure_ascii=False, separators=(",", ":"))


def to_json(value):
    """JSON text of a value. NaN and infinity, which JSON lacks, become null: a diverged loss must not end a training."""
    try:
        try:
            return STRICT.encode(value)
        except ValueError as error:
            if "Circular" in str(error):
                raise
            return LENIENT.encode(finite(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"results are JSON, and {error}") from error


def finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def encode(value, verb):
    """A value as JSON text, within the limits of what may travel."""
    try:
        text = to_json(value)
    except Unsendable as error:
        raise Unsendable(f"Cannot {verb} this value: {error}") from error.__cause__
    if len(text) <= DEPTH_MAX:
        return text
    size = len(text) if len(text) * 4 <= RESULT_BYTES else len(text.encode("utf-8", "backslashreplace"))
    if size > RESULT_BYTES:
        raise Unsendable(f"Cannot {verb} {size} bytes: at most {RESULT_BYTES} may travel; save a checkpoint instead")
    if text.count("[") + text.count("{") > DEPTH_MAX and depth(text) > DEPTH_MAX:
        raise Unsendable(f"Cannot {verb} this value: it is nested {depth(text)} levels deep, at most {DEPTH_MAX} may travel")
    return text


def depth(text):
    """How deep a JSON text is nested."""
    now = most = 0
    for token in TOKENS.finditer(text):
        first = text[token.start()]
        now += (first in "[{") - (first in "]}")
        most = max(most, now)
    return most


def describe(error):
    """Message and stack of an exception, from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    name = "" if isinstance(error, Unsendable) else type(error).__name__
    message = ": ".join(part for part in (name, text_of(error)) if part)
    return {"message": message[:FAILURE_MESSAGE_LENGTH], "stack": stack_of(error, frames)[-FAILURE_STACK_LENGTH:]}


def text_of(error):
    """What an exception says. Its class is the user's, and may fail at that."""
    try:
        return str(error)
    except BaseException:
        return "its message cannot be shown"


def stack_of(error, frames):
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return ""


def is_retryable(error):
    try:
        return getattr(error, "retryable", True) is not False
    except BaseException:
        return True


def is_ours(file):
    return file.startswith(OURS) or "importlib" in file
