/** A function that tries what a test tells it, in TypeScript with every permission that Deno has, and in Python. */
import assert from "node:assert/strict";
import type { Json } from "../../sdk/protocol.ts";
import { value } from "./oci_world.ts";
import type { TestRunner } from "./runner.ts";

/** One thing to try. What works out has a value, what does not has the reason. */
export type Attempt =
  | { readonly do: "read" | "list" | "writable"; readonly path: string }
  | { readonly do: "write"; readonly path: string; readonly text: string }
  | { readonly do: "symlink" | "link"; readonly from: string; readonly to: string }
  | { readonly do: "connect"; readonly host: string; readonly ports: readonly number[] }
  | { readonly do: "unix"; readonly path: string }
  | { readonly do: "run"; readonly argv: readonly string[] }
  | { readonly do: "call"; readonly n: number; readonly args: readonly number[] };
export type Outcome = readonly [worked: true, value: Json] | readonly [worked: false, reason: string];

const TYPESCRIPT = `import { App } from "berth";
const app = new App("test");
let opened;
const libc = () => opened ??= Deno.dlopen("libc.so.6", {
  syscall: { parameters: Array(7).fill("i64"), result: "i64" },
  __errno_location: { parameters: [], result: "pointer" },
}).symbols;

function* filesBelow(path) {
  for (const { name, isDirectory, isSymlink } of Deno.readDirSync(path)) {
    const inside = path + "/" + name;
    if (isSymlink) continue;
    if (!isDirectory) yield inside;
    else try { yield* filesBelow(inside); } catch { /* closed to us */ }
  }
}
const opens = (path) => { try { Deno.openSync(path, { write: true }).close(); return true; } catch { return false; } };
async function answers(host, port) {
  const signal = AbortSignal.timeout(2_000);
  try { (await Deno.connect({ hostname: host, port, signal })).close(); return true; } catch { return false; }
}
const text = (bytes) => new TextDecoder().decode(bytes);
const acts = {
  read: ({ path }) => text(Deno.readFileSync(path)).slice(0, 20_000),
  list: ({ path }) => [...Deno.readDirSync(path)].map(({ name }) => name),
  writable: ({ path }) => [...filesBelow(path)].filter(opens),
  write: ({ path, text }) => Deno.writeTextFileSync(path, text),
  symlink: ({ from, to }) => Deno.symlinkSync(to, from),
  link: ({ from, to }) => Deno.linkSync(to, from),
  connect: async ({ host, ports }) => {
    const open = [];
    for (const port of ports) if (await answers(host, port)) open.push(port);
    return open;
  },
  unix: async ({ path }) => (await Deno.connect({ transport: "unix", path })).close(),
  run: ({ argv: [command, ...args] }) => {
    const { code, stdout, stderr } = new Deno.Command(command, { args }).outputSync();
    if (code !== 0) throw new Error(text(stdout) + text(stderr));
    return text(stdout);
  },
  call: ({ n, args }) => {
    const made = libc().syscall(...[n, ...args, 0, 0, 0, 0, 0, 0].slice(0, 7).map(BigInt));
    if (made >= 0n) return Number(made);
    throw new Error("errno " + new Deno.UnsafePointerView(libc().__errno_location()).getInt32());
  },
};
export const fn = app.function({}, async (attempts) => {
  const outcomes = [];
  for (const attempt of attempts) {
    try { outcomes.push([true, await acts[attempt.do](attempt) ?? null]); }
    catch (error) { outcomes.push([false, String(error)]); }
  }
  return outcomes;
});
`;

const PYTHON = `import ctypes, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)

def opens(path):
  try:
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return True
  except OSError:
    return False

def answers(host, port):
  try:
    socket.create_connection((host, port), timeout=2).close()
    return True
  except OSError:
    return False

def read(path):
  with open(path, "rb") as file:
    return file.read(20_000).decode("utf-8", "replace")

def writable(path):
  found = []
  for folder, _, names in os.walk(path):
    found += [os.path.join(folder, name) for name in names]
  return [path for path in found if not os.path.islink(path) and opens(path)]

def write(path, text):
  with open(path, "w") as file:
    file.write(text)

def unix(path):
  with socket.socket(socket.AF_UNIX) as near:
    near.connect(path)

def run(argv):
  ran = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
  if ran.returncode != 0:
    raise OSError(ran.stdout)
  return ran.stdout

def call(n, args):
  made = libc.syscall(*[ctypes.c_long(it) for it in ([n] + args + [0] * 6)[:7]])
  if made < 0:
    raise OSError("errno " + str(ctypes.get_errno()))
  return made

acts = {
  "read": read, "writable": writable, "write": write, "unix": unix, "run": run, "call": call,
  "list": lambda path: os.listdir(path),
  "symlink": lambda **it: os.symlink(it["to"], it["from"]),
  "link": lambda **it: os.link(it["to"], it["from"]),
  "connect": lambda host, ports: [port for port in ports if answers(host, port)],
}

def fn(attempts):
  outcomes = []
  for attempt in attempts:
    act = acts[attempt.pop("do")]
    try:
      outcomes.append([True, act(**attempt)])
    except Exception as error:
      outcomes.append([False, type(error).__name__ + ": " + str(error)])
  return outcomes
`;

const WHOLE = { read: true, write: true, net: true, run: true, env: true, sys: true, ffi: true } as const;

export const BODIES = ["ts", "python"] as const;
export type HostileBody = typeof BODIES[number];

/** Its source and spec, for {@link TestRunner.assign}. */
export const hostile = (body: HostileBody) =>
  body === "ts" ? [TYPESCRIPT, { permissions: WHOLE }] as const : [PYTHON, { body: "python" }] as const;

/** Has it try all of these, one after another. */
export async function attempt(runner: TestRunner, attempts: readonly Attempt[]): Promise<readonly Outcome[]> {
  return await value(runner, attempts as unknown as Json) as unknown as readonly Outcome[];
}

/** Whatever it tries: directly, by links, by the folders of processes, by mounting it. `path` must be there on this machine. */
export async function assertOutOfReach(runner: TestRunner, path: string): Promise<void> {
  await Deno.lstat(path);
  const id = crypto.randomUUID().slice(0, 8);
  const [slot, tmp] = [`/berth/slot/${id}`, `/tmp/${id}`];
  const tries: Attempt[] = [
    ...["", "/proc/self/root", "/proc/1/root", "/proc/1/cwd/../../../..", "/berth/slot/app/../../.."].flatMap(
      (root) => (["read", "list"] as const).map((what) => ({ do: what, path: root + path })),
    ),
    ...[slot, tmp].flatMap((from): Attempt[] => [
      { do: "symlink", from, to: path },
      { do: "read", path: from },
      { do: "list", path: from },
      { do: "link", from: `${from}-hard`, to: path },
    ]),
    { do: "run", argv: ["mount", "--bind", path, "/tmp"] },
    { do: "run", argv: ["nsenter", "--target", "1", "--mount", "cat", path] },
    { do: "unix", path },
  ];
  const outcomes = await attempt(runner, tries);
  const worked = tries.filter((one, i) => outcomes[i]![0] && one.do !== "symlink");
  assert.deepEqual(worked, [], `a function reaches ${path}`);
}

/** Numbers of system calls on this kind of machine. */
const CALLS = {
  chroot: [161],
  mount: [165],
  umount: [166],
  reboot: [169, 0xfee1dead, 672274793, 0],
  sethostname: [170],
  iopl: [172, 3],
  "init_module": [175],
  "kexec_load": [246],
  "add_key": [248],
  "request_key": [249],
  "keyctl: the keys of its user": [250, 0, -4, 1],
  "unshare: a user": [272, 0x1000_0000],
  "unshare: mounts": [272, 0x2_0000],
  "setns": [308, 0, 0],
  "perf_event_open": [298],
  "open_by_handle_at": [304, -100, 0, 0],
  "bpf": [321],
  "userfaultfd": [323, 0],
} as const;
const REFUSED = /errno (1|38)$/; // EPERM, ENOSYS: not that it was asked the wrong way

/** Those that the kernel does not refuse. */
export async function callsThatWork(runner: TestRunner): Promise<unknown[]> {
  const attempts = Object.entries(CALLS).map(([, [n, ...args]]): Attempt => ({ do: "call", n, args }));
  const outcomes = await attempt(runner, attempts);
  return Object.keys(CALLS).flatMap((name, i) => {
    const [worked, said] = outcomes[i]!;
    return worked || !REFUSED.test(String(said)) ? [[name, said]] : [];
  });
}
