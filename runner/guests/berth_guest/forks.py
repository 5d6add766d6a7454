"""The fork server: one process that has imported what many containers need, and forks a guest for each of them.

`guest.py --preload torch,numpy` connects to $BERTH_SLOT/control.sock like a guest, imports the modules, and answers with one
line of JSON: `{"t":"ready"}`, or `{"t":"refused","message":…}` when it must not fork. Then it reads
`{"t":"fork","n","env","cwd","stdio"}` and answers `{"t":"forked","n","pid"}`, and `{"t":"exited","n","code","signal"}` when
that has ended. `stdio` is the pid of a process whose stdout and stderr the guest takes over. It ends when the runner does.
"""
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading

MODULES_THAT_DRAW = "numpy.random"


class Refused(Exception):
    """What was preloaded cannot be shared by a fork."""


class ForkServer:
    def __init__(self, modules):
        self._modules = modules
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(os.path.join(os.environ["BERTH_SLOT"], "control.sock"))
        self._running = {}

    def serve(self):
        """Returns in each forked process what it was forked for; never in the server itself."""
        try:
            preload(self._modules)
        except BaseException as error:
            message = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
            self._say({"t": "refused", "message": message})
            os._exit(0)
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._say({"t": "ready"})
        wanted = self._forked(woken)
        for fd in (woken, wake):
            os.close(fd)
        return wanted

    def _forked(self, woken):
        import select
        rest = b""
        while True:
            readable, _, _ = select.select([self._socket, woken], [], [])
            if woken in readable:
                os.read(woken, 4_096)
                self._reap()
            if self._socket in readable:
                data = self._socket.recv(65_536)
                if not data:
                    os._exit(0)  # The runner has gone, and its guests notice that themselves
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    wanted = json.loads(line)
                    if self._fork(wanted["n"]) == 0:
                        return wanted

    def _fork(self, n):
        pid = os.fork()
        if pid > 0:
            self._running[pid] = n
            self._say({"t": "forked", "n": n, "pid": pid})
            return pid
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._socket.close()
        return 0

    def _reap(self):
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            ended = {"code": code, "signal": None} if code >= 0 else {"code": 128 - code, "signal": signal.Signals(-code).name}
            self._say({"t": "exited", "n": self._running.pop(pid), **ended})

    def _say(self, frame):
        self._socket.sendall(json.dumps(frame).encode() + b"\n")


def preload(modules):
    """Imports them, and makes sure that a fork shares them soundly."""
    for module in modules:
        importlib.import_module(module)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise Refused("importing it initialised CUDA, which no fork survives")
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        raise Refused(f"importing it started threads ({names}), which a fork would lose")
    try_fork()
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        raise Refused(f"importing it started {threads - 1} native threads, which a fork would lose")
    gc.collect()
    gc.freeze()  # Or the first collection of each guest would copy all that they share


def try_fork():
    """Libraries that know of forks, such as OpenBLAS, end their threads at one and start them again when they need them."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def become(wanted):
    """Makes a forked process what a fresh one would be: its session, environment, folder, stdio and chance."""
    os.setsid()
    for fd, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(pipe := os.open(f"/proc/{wanted['stdio']}/fd/{fd}", os.O_WRONLY), fd)
        os.close(pipe)
        stream = getattr(sys, name)
        fresh = open(fd, "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False)
        setattr(sys, name, fresh)  # The other may know that it was a file, or hold what imports have printed
        setattr(sys, f"__{name}__", fresh)
    os.kill(wanted["stdio"], signal.SIGKILL)  # It has held them for us
    os.environ.clear()
    os.environ.update(wanted["env"])
    os.chdir(wanted["cwd"])
    sys.argv[1:] = []
    if (random := sys.modules.get(MODULES_THAT_DRAW)) is not None:
        random.seed()  # Else all forks would draw the same numbers
