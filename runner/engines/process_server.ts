/** Servers in the process engine: the command of a function, on a port that is free, in the folder of its bundle. */
import type { Clock } from "../../sdk/ports.ts";
import type { ServerSpec } from "../../sdk/protocol.ts";
import { nameProcess } from "../../sdk/proc.ts";
import { openConnections } from "../connections.ts";
import { type Channel, type Child, type Command, type Guest, type Spawn, StartError } from "../engine.ts";
import { interpreted } from "../interpreter.ts";
import { usageOf } from "../proc.ts";
import type { SlotPaths } from "./deno_args.ts";
import { filledIn } from "./filled_in.ts";

type Env = Readonly<Record<string, string>>;

/** Where a server is to listen. */
export interface Place {
  /** As the gateway connects to it. */
  readonly address: string;
  /** For messages. */
  readonly name: string;
  readonly env: Env;
  readonly dial: () => Promise<Channel>;
  /** Another server may have it. */
  release(): void;
}

const HOST = "127.0.0.1";
/** The kernel gives ports out in turn: one that we have given away is hardly ever offered again. */
const TRIES = 100;

/** Ports of this machine that servers were told to listen on. */
export class Ports {
  readonly #taken = new Set<number>();

  /** The port that is asked for, or any free one; whether it is free is looked up by listening on it for a moment. */
  take(asked: number | undefined): number {
    for (let tries = 0; tries < TRIES; tries++) {
      const port = probe(asked ?? 0);
      if (port !== null && !this.#taken.has(port)) {
        this.#taken.add(port);
        return port;
      }
      if (asked === undefined) continue;
      throw new StartError(
        `Cannot start the server: port ${asked} of this machine is in use, leave \`port\` out to be given a free one`,
      );
    }
    throw new StartError("Cannot start the server: this machine has no free port");
  }

  release(port: number): void {
    this.#taken.delete(port);
  }
}

function probe(port: number): number | null {
  try {
    using listener = Deno.listen({ hostname: HOST, port });
    return listener.addr.port;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return null;
    throw new StartError(
      `Cannot start the server: it may not listen on port ${port}, ${(error as Error).message}`,
    );
  }
}

/** Where the server of a slot listens. */
export function placeOf({ port: asked, socket }: ServerSpec, slot: SlotPaths, ports: Ports): Place {
  if (socket) {
    return {
      address: slot.http,
      name: "$BERTH_SOCKET",
      env: { BERTH_SOCKET: slot.http },
      dial: () => Deno.connect({ transport: "unix", path: slot.http }),
      release: () => {},
    };
  }
  const port = ports.take(asked);
  return {
    address: `${HOST}:${port}`,
    name: `port ${port}`,
    env: { PORT: String(port) },
    dial: () => Deno.connect({ hostname: HOST, port }),
    release: () => ports.release(port),
  };
}

export interface StartServer {
  readonly server: ServerSpec;
  readonly slot: SlotPaths;
  readonly place: Place;
  readonly cwd: string;
  /** All of it but where to listen. */
  readonly env: Env;
  readonly spawn: Spawn;
  readonly clock: Clock;
  settle(): Promise<void>;
  removeSlot(): Promise<void>;
}

/** Starts the program; that it listens is for its {@link Interpreter} to find out. */
export function startServer(
  { server, slot, place, cwd, env, spawn, clock, settle, removeSlot }: StartServer,
): Omit<Guest, "secretFolder"> {
  if (server.command === undefined) throw new StartError("Cannot start the server: it names no command");
  const [command, ...args] = filledIn(server.command, { ...env, ...place.env });
  const child = spawned(spawn, place, { command: command!, args, cwd, env: { ...env, ...place.env } });
  nameProcess(`${slot.dir}/pid`, child.pid);
  const { pid, exited } = child;
  const program = {
    pid,
    exited,
    dial: place.dial,
    place: place.name,
    connections: () => openConnections(place.address),
    terminate: () => child.terminate(),
  };
  return {
    ...interpreted({ program, server, clock }, child),
    exited,
    path: cwd,
    address: place.address,
    spool: slot.dir,
    settle,
    usage: () => usageOf(pid, true),
    kill: () => child.kill(),
    release: async () => {
      place.release();
      await removeSlot();
    },
  };
}

function spawned(spawn: Spawn, place: Place, command: Command): Child {
  try {
    return spawn.start(command);
  } catch (cause) {
    place.release();
    const why = cause instanceof Deno.errors.NotFound
      ? "this machine has no such program"
      : (cause as Error).message;
    throw new StartError(`Cannot start "${command.command}": ${why}`, { cause });
  }
}
