"""What travels: values as JSON within the limits, and exceptions as message and stack."""
import dataclasses
import json
import math
import os
import re
import traceback

# As in sdk/protocol/limits.ts
RESULT_BYTES = 4 * 1024 * 1024
VALUE_BYTES = 256 * 1024 * 1024
CHECKPOINT_BYTES = 1024 * 1024 * 1024
LOG_LINE_BYTES = 16 * 1024
FAILURE_MESSAGE_LENGTH = 8_192
FAILURE_STACK_LENGTH = 16_384

OURS = os.path.dirname(os.path.dirname(__file__))


class Unsendable(TypeError):
    """A value that cannot travel as JSON. Another attempt would return the same."""

    retryable = False


def to_json(value):
    """JSON text of a value. NaN and infinity, which JSON lacks, become null: a diverged loss must not end a training."""
    try:
        try:
            return json.dumps(value, default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except ValueError as error:
            if "Circular" in str(error):
                raise
            return json.dumps(finite(value), default=lambda o: finite(plain(o)), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"results are JSON, and {error}") from error


def plain(value):
    """What JSON does not know, as what it does: arrays and tensors as lists, dataclasses as objects."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


def finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


REFERENCE = re.compile(r'\{"\$blob":"([0-9a-f]{32})"\}')


def encode(value, verb, store=None):
    """A result or yield as JSON text, within its limit; one that is larger goes to the store, which gives its id, if there is one."""
    try:
        text = to_json(value)
    except Unsendable as error:
        raise Unsendable(f"Cannot {verb} this value: {error}") from error.__cause__
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= RESULT_BYTES and (store is None or not REFERENCE.fullmatch(text)):
        return text
    most = VALUE_BYTES if store else RESULT_BYTES
    if len(data) > most:
        raise Unsendable(f"Cannot {verb} {len(data)} bytes: at most {most} may travel; save a checkpoint instead")
    return f'{{"$blob":"{store(data)}"}}'


def reference(value):
    """The id of the value that this one stands for, or None."""
    found = isinstance(value, dict) and len(value) == 1 and "$blob" in value and REFERENCE.fullmatch(to_json(value))
    return found[1] if found else None


def describe(error):
    """Message and stack of an exception, from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    stack = "".join(traceback.format_exception(type(error), error, frames))
    name = "" if isinstance(error, Unsendable) else type(error).__name__
    message = ": ".join(part for part in (name, str(error)) if part)
    return {"message": message[:FAILURE_MESSAGE_LENGTH], "stack": stack[-FAILURE_STACK_LENGTH:]}


def is_ours(file):
    return file.startswith(OURS) or "importlib" in file
