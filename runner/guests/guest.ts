/**
 * The guest that runs TypeScript: a small program inside the container that speaks the guest protocol (frames.ts) and runs
 * the user's code. A runner starts it, with SLOT a folder of this container's own and ROOT the folder above this room, as
 *
 * ```sh
 * BERTH_SLOT=SLOT deno run --quiet --no-prompt --no-config --no-lock --no-remote --no-npm --unstable-no-legacy-abort \
 *   --import-map=ROOT/runner/guests/import_map.json --allow-env=BERTH_SLOT --allow-read=SLOT,ROOT/sdk \
 *   --allow-write=SLOT/control.sock,SLOT/http.sock,… --allow-net=unix:SLOT/control.sock,unix:SLOT/http.sock,… \
 *   ROOT/runner/guests/guest.ts
 * ```
 *
 * It connects to SLOT/control.sock, listens on SLOT/http.sock, says `hello` and, when it is told to `wait` for `load`, warms up
 * meanwhile. The module to load must lie in SLOT (or be readable otherwise). Before the module is imported the guest gives up the
 * network and writing, after it reading; permissions that the function itself declares are added to the lists above and stay. Where
 * the host may come back after it has gone (`resumeMs` in `load`), the guest listens on SLOT/resume.sock too, and goes on meanwhile.
 */
import "../../sdk/mod.ts";
import { Client, setAmbientClient } from "../../sdk/client.ts";
import { type ContainerContext, containerContext } from "../../sdk/context.ts";
import { realClock } from "../../sdk/ports.ts";
import type { LoadFrame } from "../frames.ts";
import { Channel } from "./channel.ts";
import type { Decoded } from "./decode.ts";
import { Endpoints } from "./endpoints.ts";
import { build, importEntry, type Loaded } from "./load.ts";
import { describeError } from "./outcome.ts";
import { Platform } from "./platform.ts";
import { connectTo, throwaway, warm } from "./warm.ts";
import { Turn } from "./turn.ts";
import { Work } from "./work.ts";

const slot = Deno.env.get("BERTH_SLOT")!;
const controlPath = `${slot}/control.sock`;
const httpPath = `${slot}/http.sock`;
const resumePath = `${slot}/resume.sock`;
const sdkPath = new URL("../../sdk", import.meta.url).pathname;

const channel = new Channel(await Deno.connect({ transport: "unix", path: controlPath }));
const HELLO = { t: "hello", protocol: 1, pid: Deno.pid } as const;
channel.send(HELLO); // what is to be loaded may come meanwhile
const platform = new Platform(channel, (call) => work?.runs(call) ?? false);
const endpoints = new Endpoints();
const turn = await Turn.open(httpPath);
const server = Deno.serve({ transport: "unix", path: httpPath, onListen: () => {} }, endpoints.answer);
setAmbientClient(new Client({ transport: platform }));

let work: Work | undefined;
let loaded: Loaded | undefined;
let wanted = false;
let drained: Promise<void> | undefined;
/** Where a host that was away comes back to, and how long it may be away. */
let door: Deno.Listener | undefined;
let resumeMs = 0;
let warmed: Promise<void> | undefined;

globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  uncaught(event.reason);
});
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  uncaught(event.error);
});

try {
  do {
    for await (const frames of channel.frames()) {
      for (const frame of frames) receive(frame);
      work?.turn();
    }
  } while (await resumed());
} finally {
  Deno.exit(0); // The host has gone: nothing that is done now would count
}

/** Waits for the host to come back; false when it does not. */
async function resumed(): Promise<boolean> {
  if (door === undefined || work === undefined) return false;
  const conn = await Promise.race([door.accept(), realClock.sleep(resumeMs)]);
  if (conn === undefined) return false;
  channel.resume(conn, { ...HELLO, resumes: work.resumes() });
  platform.resume();
  work.tellEnds();
  return true;
}

function receive({ frame, body }: Decoded): void {
  switch (frame.t) {
    case "call":
      return work?.push(frame);
    case "reply":
    case "chunk":
      return platform.receive(frame, body);
    case "cancel":
      return work?.cancel(frame);
    case "preempt":
      return work?.preempt(frame);
    case "recall":
      return work?.recall();
    case "wait":
      return void (warmed ??= warm(httpPath, () => wanted));
    case "load":
      return void load(frame);
    case "drain":
      return void (drained ??= drain());
  }
}

async function load(frame: LoadFrame): Promise<void> {
  wanted = true;
  const { app, function: name, container, gang } = frame;
  const secrets = new Map(Object.entries(frame.secrets ?? {}));
  const volumes = new Map(Object.entries(frame.volumes ?? {}));
  const identity = { app, function: name, container, gang, secrets, volumes };
  const contextOf = (signal: AbortSignal): ContainerContext =>
    containerContext(identity, { outlet: platform, signal, write: (line) => console.log(line) });
  try {
    await warmed;
    const mayWarm = warmed === undefined && Object.keys(frame.endpoints).length > 0;
    const own = mayWarm ? connectTo(httpPath) : null; // soon it may not
    if (frame.resumeMs !== undefined) {
      resumeMs = frame.resumeMs;
      door = Deno.listen({ transport: "unix", path: resumePath });
    }
    const sockets = [controlPath, httpPath, resumePath];
    revoke(sockets.map((path) => ({ name: "net", host: `unix:${path}` })));
    revoke(sockets.map((path) => ({ name: "write", path })));
    revoke([{ name: "env", variable: "BERTH_SLOT" }]);
    for (const [key, { value, file }] of secrets) if (file === undefined) Deno.env.set(key, value);
    const declaration = await importEntry(frame);
    revoke([{ name: "read", path: slot }, { name: "read", path: sdkPath }]);
    loaded = await build(frame, declaration, contextOf(new AbortController().signal));
    const { concurrency } = frame;
    const { methods } = loaded;
    const tools = { channel, outlet: platform, values: platform, clock: realClock, turn };
    work = new Work({ identity, methods, concurrency, ...tools });
    endpoints.open(loaded.endpoints, contextOf);
    channel.send({ t: "ready" });
    own?.then(throwaway).catch(() => {}); // before the first request comes, which takes some milliseconds
  } catch (error) {
    channel.send({ t: "broken", ...describeError(error) });
  }
}

/** Gives up what was granted by name. What the function declares by another name, or whole, stays. */
function revoke(permissions: Deno.PermissionDescriptor[]): void {
  for (const permission of permissions) Deno.permissions.revokeSync(permission);
}

async function drain(): Promise<void> {
  await work?.idle();
  await server.shutdown();
  await loaded?.exit().catch((error) => console.error(`@exit failed: ${describeError(error).stack}`));
  await channel.drained();
  Deno.exit(0);
}

/** An error that no code of the user's caught: the calls that run are to blame. */
function uncaught(error: unknown): void {
  if (work?.failRunning(error)) return;
  console.error(`Uncaught: ${describeError(error).stack ?? describeError(error).message}`);
}
