"""What Python files declare, read from their text: nothing of them is imported or run.

Reads {"dir": …, "entries": ["train.py:finetune", …]} from stdin and writes one answer per entry to stdout, as JSON:
{"kind": "function", "stream": bool}, {"kind": "class", "methods": [{"member", "stream"}, …]}, or
{"problem": …, "file", "line", "column"} with what is wrong and where.
"""
import ast
import json
import os
import sys

MARKS = ("method", "enter", "exit")


class Problem(Exception):
    """The code cannot be deployed; `node` is where, when it is somewhere."""

    def __init__(self, message, file, line=1, column=1):
        super().__init__(message)
        self.place = {"file": file, "line": line, "column": column}


class File:
    """One module: what it defines at its top level, and how it names Berth's marks."""

    def __init__(self, folder, path):
        self.folder, self.path = folder, path
        self.definitions, self.imports, self.names = {}, {}, set()
        self.marks, self.modules = {}, set()
        self.opaque = False
        self._collect(self._parsed().body)

    def _parsed(self):
        try:
            with open(os.path.join(self.folder, self.path), "rb") as file:
                return ast.parse(file.read(), self.path)
        except SyntaxError as error:
            raise Problem(f"{self.path} does not parse: {error.msg}", self.path, error.lineno or 1, error.offset or 1)
        except (ValueError, RecursionError) as error:
            raise Problem(f"{self.path} does not parse: {error}", self.path)

    def _collect(self, body):
        """Also what stands below `if`, `try` and `with`: it may be there."""
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.definitions[node.name] = node
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            else:
                self.names.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
                for field in ("body", "orelse", "finalbody"):
                    part = getattr(node, field, None)
                    self._collect(part if isinstance(part, list) else [])
                for handler in getattr(node, "handlers", []):
                    self._collect(handler.body)

    def _import(self, node):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if alias.name == "*":
                self.opaque = True
            elif isinstance(node, ast.Import):
                self.names.add(name)
                if alias.name == "berth":
                    self.modules.add(name)
            elif node.module == "berth" and alias.name in MARKS:
                self.marks[name] = alias.name
            else:
                self.imports[name] = (node, alias.name)

    def mark_of(self, decorator):
        """`method`, `enter` or `exit` when the decorator is one of Berth's, else None."""
        if isinstance(decorator, ast.Name):
            return self.marks.get(decorator.id)
        if isinstance(decorator, ast.Attribute) and isinstance(decorator.value, ast.Name) and decorator.value.id in self.modules:
            return decorator.attr if decorator.attr in MARKS else None
        if isinstance(decorator, ast.Call) and (mark := self.mark_of(decorator.func)):
            message = f"@{mark} takes no arguments: write it without ()"
            raise Problem(message, self.path, decorator.lineno, decorator.col_offset + 1)
        return None


class Bundle:
    """The files of a bundle, each parsed once."""

    def __init__(self, folder):
        self.folder, self._files = folder, {}

    def file(self, path):
        if path not in self._files:
            self._files[path] = File(self.folder, path)
        return self._files[path]

    def find(self, file, name, seen=()):
        """Where a name is defined: a file and a node; None when that cannot be told from the text."""
        if name in file.definitions:
            return file, file.definitions[name]
        if name in file.imports and (file.path, name) not in seen:
            node, original = file.imports[name]
            path = self._path_of(file, node)
            return self.find(self.file(path), original, (*seen, (file.path, name))) if path else None
        return None

    def _path_of(self, file, node):
        """The file of the bundle that an import names; None for packages that are installed."""
        start = os.path.dirname(file.path) if node.level else ""
        for _ in range(node.level - 1):
            start = os.path.dirname(start)
        path = os.path.join(start, (node.module or "").replace(".", "/"))
        return next((found for found in (f"{path}.py", f"{path}/__init__.py") if os.path.isfile(os.path.join(self.folder, found))), None)


def describe(bundle, entry):
    path, name = entry.rsplit(":", 1)
    file = bundle.file(path)
    found = bundle.find(file, name)
    if found is None:
        if file.opaque or name in file.imports or name in file.names:
            return {"kind": "function", "stream": False}  # It is made when the module runs
        raise Problem(f"{path} has no function or class {name}{known(file)}", path)
    where, node = found
    if isinstance(node, ast.ClassDef):
        return {"kind": "class", "methods": methods_of(bundle, where, node)}
    check_arguments(where, node, 0)
    return {"kind": "function", "stream": is_generator(node)}


def known(file):
    names = ", ".join(sorted(name for name in file.definitions if not name.startswith("_")))
    return f"; it has {names}" if names else ""


def methods_of(bundle, file, node):
    marks = {}
    collect_marks(bundle, file, node, marks, ())
    methods = [{"member": name, "stream": stream} for name, (kinds, stream) in marks.items() if "method" in kinds]
    if not methods:
        raise Problem(f"class {node.name} has no @method: mark what may be called, `from berth import method`", file.path, node.lineno, node.col_offset + 1)
    return methods


def collect_marks(bundle, file, node, marks, seen):
    """Marks of the parents first, as the guest finds them; a member that is written again keeps its mark."""
    if node in seen:
        return
    for base in reversed(node.bases):
        found = bundle.find(file, base.id) if isinstance(base, ast.Name) else None
        if found and isinstance(found[1], ast.ClassDef):
            collect_marks(bundle, *found, marks, (*seen, node))
    for member in node.body:
        if not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        kinds = {mark for decorator in member.decorator_list if (mark := file.mark_of(decorator))}
        kinds |= marks.get(member.name, (set(), False))[0]
        if kinds:
            check_arguments(file, member, 1)
            marks[member.name] = (kinds, is_generator(member))


def check_arguments(file, node, own):
    """A handler is given the input and ctx, no more."""
    if node.decorator_list and not own:
        return  # A decorator may change what it takes
    positional = [*node.args.posonlyargs, *node.args.args][own:]
    needed = len(positional) - len(node.args.defaults)
    keywords = [arg.arg for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults) if default is None and arg.arg != "ctx"]
    if needed > 2 or keywords:
        asked = ", ".join([arg.arg for arg in positional[:needed]] + keywords)
        raise Problem(f"{node.name} needs {asked}: a handler is given the input, and ctx", file.path, node.lineno, node.col_offset + 1)


def is_generator(node):
    """Whether it yields itself: what is defined inside it may do so by itself."""
    inner = list(node.body)
    while inner:
        one = inner.pop()
        if isinstance(one, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            inner.extend(ast.iter_child_nodes(one))
    return False


def answer(bundle, entry):
    try:
        return describe(bundle, entry)
    except Problem as problem:
        return {"problem": str(problem), **problem.place}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    bundle = Bundle(asked["dir"])
    print(json.dumps([answer(bundle, entry) for entry in asked["entries"]]))
