"""The user's code: importing the module, and finding in it what the host said is there."""
import importlib
import inspect
import sys
from typing import NamedTuple

import berth

from .arguments import caller_of, takes_any


class Method(NamedTuple):
    """Something that can be called."""

    call: object
    """A function of input and ctx."""
    is_async: bool


class Code(NamedTuple):
    """What one container runs."""

    methods: dict
    enter: list
    exit: list

    @property
    def is_async(self):
        """Whether it needs an event loop: then all of it shares one."""
        return any(method.is_async for method in self.methods.values()) or any(map(is_async, [*self.enter, *self.exit]))


def load(frame):
    """Imports the module and finds the function or class: `train.py:finetune` in the folder of the bundle."""
    file, name = frame["entry"].rsplit(":", 1)
    sys.path.append(sys.path[0])  # This program's own folder goes last: processes that the code spawns import it again
    sys.path[0] = frame["path"]
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found = getattr(module, name, None)
    if not callable(found):
        raise AttributeError(f"{file} has no function {name}")
    return class_code(found, frame["methods"]) if frame["kind"] == "class" else function_code(found, frame["methods"])


def function_code(handler, methods):
    return Code({name: method_of(handler) for name in methods}, [], [])


def class_code(cls, methods):
    """Builds the one instance of a class."""
    members = berth.marked(cls, "method")
    missing = [spec["member"] for spec in methods.values() if spec["member"] not in members]
    if missing:
        raise AttributeError(f"{cls.__name__}.{missing[0]} has no @method")
    instance = cls()
    bound = {name: method_of(getattr(instance, spec["member"])) for name, spec in methods.items()}
    return Code(bound, *([getattr(instance, name) for name in berth.marked(cls, kind)] for kind in ("enter", "exit")))


def method_of(handler):
    return Method(caller_of(handler), is_async(handler))


def is_async(code):
    return inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)


def run_hook(hook, ctx):
    """Runs what is marked `enter` or `exit`; the result may be awaitable."""
    return hook(ctx) if takes_any(hook) else hook()
