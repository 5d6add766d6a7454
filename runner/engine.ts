/**
 * What an engine is to the rest of the runner: it turns an assignment into a *guest*, a running program with a channel to
 * speak the guest protocol over. Interfaces only, so that tests and the simulation can bring engines of their own.
 */
import type {
  Assignment,
  DeliveredSecret,
  ExecCommand,
  RegistryCredential,
  TerminalSize,
  WantedBuild,
} from "../sdk/protocol.ts";

/** Starts programs of the machine. */
export interface Spawn {
  /** Starts a program in a process group of its own. */
  start(command: Command): Child;
  /** Runs one to its end and collects what it printed. */
  output(command: Command): Promise<{ code: number; stdout: string; stderr: string }>;
}

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** The whole environment; that of the runner when absent. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether its stdin can be written to; it is empty when absent. */
  readonly stdin?: "piped";
  /** What it reads there, where all that it prints is collected. */
  readonly input?: string;
}

export interface Child {
  readonly pid: number;
  /** Null unless it was asked for. */
  readonly stdin: WritableStream<Uint8Array> | null;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly exited: Promise<GuestExit>;
  /** Asks the process to end, and it alone: it knows what to do with what it started. */
  terminate(): void;
  /** Kills the whole process group at once; no error when it is gone. */
  kill(): void;
}

export interface GuestExit {
  readonly code: number;
  readonly signal: string | null;
  /** Why, where the engine knows better than these two tell. */
  readonly known?: { readonly kind: "out_of_memory" | "node_lost"; readonly message: string };
}

/** A command that runs beside a guest, in its surroundings. */
export interface Exec {
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly exited: Promise<GuestExit>;
  /** Its terminal has another size now; nothing without one. */
  resize(size: TerminalSize): void;
  /** Kills it and all it started; no error when that is gone. */
  kill(): void;
}

/** A two-way stream of bytes; a `Deno.Conn` is one. */
export interface Channel {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

export interface Usage {
  /** CPU time since the guest started, microseconds. */
  readonly cpuUs: number;
  readonly memoryMiB: number;
}

/** A program that has connected and waits for its `load`. */
export interface Guest {
  readonly channel: Channel;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly exited: Promise<GuestExit>;
  /** How long after its end `exited` may take to tell. @default 1000 */
  readonly exitSeenMs?: number;
  /** Whether this machine still has its first process, where that can be told before {@link exited} does. */
  readonly runs?: () => boolean;
  /** For the `load` frame: the file to import, or the folder of the bundle. */
  readonly path: string;
  /** Where its endpoints will listen: the path of a unix socket, or `127.0.0.1:PORT`. */
  readonly address: string;
  /** A folder for large bodies on their way. */
  readonly spool: string;
  /** Called once it is ready and before its endpoints, if it has any, are told of; throws when they cannot be trusted. */
  publish?(what: { readonly endpoints: boolean }): void;
  /** How long it goes on without a runner, for the next one to take it over; absent when it ends at once. */
  readonly resumeMs?: number | undefined;
  /** The folder of a secret that came as files, as the guest sees it. */
  secretFolder(secret: DeliveredSecret): string;
  /** Where its volumes are as it sees them, by where its function mounts them; absent when it mounts none. */
  readonly volumes?: Readonly<Record<string, string>> | undefined;
  /** Resolves once what it has written to stdout and stderr before now was handed on. */
  settle(): Promise<void>;
  /** What it still lacks to be ready, in a clause, where the engine knows better than the container. */
  lacks?(): string;
  /** What it uses now; null when that cannot be told. */
  usage(): Usage | null;
  /** Its scratch space, where that is on disk and has a limit. */
  readonly scratch?: Scratch;
  /** Runs a command where the guest runs: its environment, its files, its GPUs. Throws a {@link StartError}. */
  exec?(command: ExecCommand): Promise<Exec>;
  /** Asks a program that waits for the end of its connections to end without. */
  terminate?(): void;
  /** The platform has heard that it has ended: nobody is led to its address any more. */
  forgotten?(): void;
  /** Kills it and all it started. */
  kill(): void;
  /** Removes what is left of it. */
  release(): Promise<void>;
  /** It has ended: gives back all but what can be looked into. In place of {@link release}. */
  keep?(): Promise<Remains>;
}

export interface Scratch {
  readonly limitMiB: number;
  usedMiB(): Promise<number>;
}

/** What is left of a guest that has ended. */
export interface Remains {
  /** Runs a command in it, without GPUs. Throws a {@link StartError}. */
  exec(command: ExecCommand): Promise<Exec>;
  /** Removes it. */
  release(): Promise<void>;
}

/** What a start may need of the container it is for. */
export interface StartContext {
  readonly signal: AbortSignal;
  /** Settles when the start is over, one way or another. */
  readonly over: Promise<unknown>;
  /** The bytes of a bundle, from the api. */
  bundle(digest: string): Promise<Uint8Array<ArrayBuffer>>;
  /** What the function's secrets hold, in its order. */
  readonly secrets: readonly DeliveredSecret[];
  /** Of the registry that its image lies in; undefined when the function brings none. */
  registryCredential(): Promise<RegistryCredential | undefined>;
  /** Tells the container's log what takes time, such as an installation. */
  say(text: string): void;
}

export interface Engine {
  /** Starts a guest for an assignment, or throws a {@link StartError}. */
  start(assignment: Assignment, context: StartContext): Promise<Guest>;
  /** What an earlier runner of this node left running, where guests outlive their runner. */
  readonly left?: Left | undefined;
  /** The images of this node, where it has any. */
  readonly images?: EngineImages | undefined;
  /** What runs its containers, where that is another program. */
  readonly containers?: ContainerEngine | undefined;
  /** Looks after that program until the signal; calls `changed` when it goes away or comes. Fails when it is wrong for good. */
  watch?(signal: AbortSignal, changed: () => void): Promise<void>;
  /** Called when a start is over: the time to prepare for the next one. */
  settled(): void;
  /** Ends all that was prepared. */
  close(): Promise<void>;
}

export interface ContainerEngine {
  /** Why nothing can start in it now; null when it can. */
  readonly away: string | null;
  /** Whether all functions need it, not only those with an image. */
  readonly only: boolean;
}

/** Guests that an earlier runner left running. */
export interface Left {
  /** Their containers. */
  readonly ids: readonly string[];
  /** Takes one over, or throws a {@link StartError}. */
  adopt(assignment: Assignment, context: Omit<StartContext, "bundle" | "over">): Promise<Guest>;
  /** Ends all but these, and removes what is left of those. */
  spare(ids: readonly string[]): Promise<void>;
}

/** Images, and how they are made. */
export interface EngineImages {
  /** Those that are here, under each name that one may be asked for by. */
  names(): string[];
  /** Calls `hear` when that changes. */
  onChange(hear: () => void): void;
  /** Has an image here before it is needed. It never fails: who needs it will say why it is not here. */
  prefetch(ref: string): Promise<void>;
  /** Builds one; what nodes pull and its bytes, or throws a {@link BuildError} or {@link BuildLost}. */
  build(wanted: WantedBuild, context: BuildContext): Promise<{ ref: string; size: number }>;
  /** Removes what was built: here, and from its registry. It never fails; gives why the registry keeps it, if it does. */
  remove(wanted: WantedBuild, signal: AbortSignal): Promise<string | null>;
}

/** What a build may need of whoever asked for it. */
export interface BuildContext {
  readonly signal: AbortSignal;
  /** A tar of the files that it copies; null when it copies none. */
  files(): Promise<ReadableStream<Uint8Array> | null>;
  /** Of the registry that the build names. */
  readonly credential: RegistryCredential | null;
  say(stream: "stdout" | "stderr" | "system", text: string): void;
}

/** An image that could not be built, in a sentence for its author. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

/** A build that this node can't go on with, through no fault of its author: it is to begin again, here or elsewhere. */
export class BuildLost extends Error {
  override readonly name = "BuildLost";
}

/** A container that could not be started, in a sentence for the owner of the function. */
export class StartError extends Error {
  override readonly name: string = "StartError";
}

/** It could not be started, and its owner can't help it: another node may do better. */
export class NodeError extends StartError {
  override readonly name = "NodeError";
}
