/** A host for guests under test: the other end of their sockets, which checks every frame against the contract. */
import assert from "node:assert/strict";
import { GuestFrame, type HostFrame, type LoadFrame } from "../../runner/frames.ts";
import { FrameDecoder } from "../../runner/guests/decode.ts";
import { kill } from "../../sdk/proc.ts";
import { familyOf } from "./processes.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** The command of guest.ts, as its first comment has it. */
export function denoGuest(slot: string): Deno.Command {
  const args = ["run", "--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"];
  args.push(
    "--unstable-no-legacy-abort",
    `--import-map=${ROOT}/runner/guests/import_map.json`,
    "--allow-env=BERTH_SLOT",
  );
  const sockets = ["control", "http", "resume"].map((name) => `${slot}/${name}.sock`);
  args.push(`--allow-read=${slot},${ROOT}/sdk`, `--allow-write=${sockets}`);
  args.push(`--allow-net=${sockets.map((path) => `unix:${path}`)}`, `${ROOT}/runner/guests/guest.ts`);
  return new Deno.Command(Deno.execPath(), {
    args,
    env: { BERTH_SLOT: slot, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  });
}

/** The command of guest.py, as its first comment has it. */
export function pythonGuest(slot: string): Deno.Command {
  const args = [`${ROOT}/runner/guests/guest.py`];
  return new Deno.Command("python3", { args, env: { BERTH_SLOT: slot }, stdout: "piped", stderr: "piped" });
}

export type Kind<T extends GuestFrame["t"]> = Extract<GuestFrame, { t: T }>;

/** What takes a guest longer than this never comes. */
const WITHIN_MS = 60_000;

interface Seen {
  readonly frame: GuestFrame;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
}

/** One guest process and all that it said. */
export class Host implements AsyncDisposable {
  readonly slot: string;
  readonly process: Deno.ChildProcess;
  #conn!: Deno.Conn;
  #seen: Seen[] = [];
  #changed = Promise.withResolvers<void>();
  /** Why nothing more is read, once that is so. */
  #closed: string | null = null;
  readonly #output: Promise<string>[];
  #stdout = "";

  private constructor(slot: string, process: Deno.ChildProcess) {
    this.slot = slot;
    this.process = process;
    this.#output = [this.#listen(process.stdout), new Response(process.stderr).text()];
  }

  /** Starts a guest and takes its connection. `files` are put where a bundle would be. */
  static async start(command: (slot: string) => Deno.Command, files: Record<string, string>): Promise<Host> {
    const slot = await Deno.makeTempDir({ prefix: "berth-guest-" });
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${slot}/${name}`, text);
    using listener = Deno.listen({ transport: "unix", path: `${slot}/control.sock` });
    const host = new Host(slot, command(slot).spawn());
    host.process.status.then(() => listener[Symbol.dispose]()); // one that has ended does not connect
    host.#take(await host.#within("it connects", listener.accept()));
    return host;
  }

  /** Waits for `hello`, sends `load` and waits for the answer. */
  async load(load: Partial<LoadFrame> & Pick<LoadFrame, "path" | "entry" | "methods">): Promise<GuestFrame> {
    await this.next("hello");
    const rest = {
      kind: "function",
      app: "digits",
      function: "train",
      container: "ctr_1",
      concurrency: 1,
      endpoints: {},
    } as const;
    this.send({ t: "load", ...rest, ...load });
    return (await this.seen(({ frame }) => frame.t === "ready" || frame.t === "broken")).frame;
  }

  send(frame: HostFrame, body?: Uint8Array): void {
    const head = new TextEncoder().encode(
      JSON.stringify(body === undefined ? frame : { ...frame, bytes: body.length }) + "\n",
    );
    const bytes = new Uint8Array(head.length + (body?.length ?? 0));
    bytes.set(head);
    if (body !== undefined) bytes.set(body, head.length);
    this.write(bytes);
  }

  /** Bytes of one or more frames, in one piece. */
  write(bytes: Uint8Array): void {
    this.#writes = this.#writes.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
    });
  }
  #writes: Promise<void> = Promise.resolve();

  /** Sends a call of the method `train`, if nothing else is said. */
  call(c: number, input: unknown, { method = "train", attempt = 1 } = {}): void {
    this.send({
      t: "call",
      c,
      id: `call_0000000001_${c.toString(36)}`,
      method,
      attempt,
      input: input as null,
    });
  }

  /** How a call ended. */
  async end(c: number): Promise<Kind<"result"> | Kind<"error">> {
    const { frame } = await this.seen(({ frame }) =>
      (frame.t === "result" || frame.t === "error") && frame.c === c
    );
    return frame as Kind<"result">;
  }

  async error(c: number): Promise<Kind<"error">> {
    const end = await this.end(c);
    assert.equal(end.t, "error", JSON.stringify(end));
    return end as unknown as Kind<"error">;
  }

  async value(c: number): Promise<unknown> {
    const end = await this.end(c);
    assert.equal(end.t, "result", JSON.stringify(end));
    return (end as Kind<"result">).v;
  }

  /** The first frame of a kind, when it has come. */
  async next<T extends GuestFrame["t"]>(t: T): Promise<Kind<T>> {
    return (await this.seen(({ frame }) => frame.t === t)).frame as Kind<T>;
  }

  /** The first thing seen that is as wanted, when it has come. */
  async seen(wanted: (seen: Seen) => boolean): Promise<Seen> {
    for (;;) {
      const found = this.#seen.find(wanted);
      if (found !== undefined) return found;
      if (this.#closed !== null) throw await this.#failure(this.#closed);
      await this.#within(`it says ${wanted}`, this.#changed.promise);
    }
  }

  /** All frames of a kind so far. */
  all<T extends GuestFrame["t"]>(t: T): Kind<T>[] {
    return this.#seen.map(({ frame }) => frame).filter((frame) => frame.t === t) as Kind<T>[];
  }

  /** Waits until the process has written this to stdout. */
  async printed(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) await this.#within(`it prints ${text}`, this.#changed.promise);
  }

  /** Waits for something of the guest, but not for ever. */
  async #within<T>(what: string, coming: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => late.resolve(null), WITHIN_MS);
    try {
      const come = await Promise.race([coming.then((value) => ({ value })), late.promise]);
      if (come !== null) return come.value;
    } catch (error) {
      throw await this.#failure(`${error}`);
    } finally {
      clearTimeout(timer);
    }
    throw await this.#failure(`Waited ${WITHIN_MS} ms in vain until ${what}`);
  }

  /** With all that the guest has told. Python says by SIGABRT where it stood, in each process that it forked. */
  async #failure(what: string): Promise<Error> {
    for (const { pid } of familyOf(this.process.pid)) kill(pid, "SIGABRT");
    const frames = this.#seen.map(({ frame }) => JSON.stringify(frame)).slice(-20);
    return new Error([what, ...frames, ...await Promise.all(this.#output)].join("\n"));
  }

  async #listen(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
    for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
      this.#stdout += text;
      this.#notify();
    }
    return this.#stdout;
  }

  /** Ends the guest's connection, as a host that dies does. */
  async hangUp(): Promise<void> {
    await this.#writes;
    this.#conn.close();
  }

  /** Takes up a connection to where the guest waits for that; what was seen before is forgotten. */
  async comeBack(): Promise<Kind<"hello">> {
    this.#seen = [];
    this.#take(await Deno.connect({ transport: "unix", path: `${this.slot}/resume.sock` }));
    return await this.next("hello");
  }

  /** What the process wrote to stdout and stderr, once it has ended. */
  async output(): Promise<{ stdout: string; stderr: string; code: number }> {
    const { code } = await this.process.status;
    const [stdout, stderr] = await Promise.all(this.#output) as [string, string];
    return { stdout, stderr, code };
  }

  #take(conn: Deno.Conn): void {
    this.#conn = conn;
    this.#closed = null;
    this.#read();
  }

  async #read(): Promise<void> {
    const decoder = new FrameDecoder();
    const bytes = new Uint8Array(64 * 1024);
    const conn = this.#conn;
    let why = "The guest closed";
    try {
      for (let n = await conn.read(bytes); n !== null; n = await conn.read(bytes)) {
        for (const { frame, body } of decoder.push(bytes.subarray(0, n))) {
          this.#seen.push({ frame: GuestFrame.parse(frame), body });
        }
        this.#notify();
      }
    } catch (error) {
      why = `${error}`; // or the test has closed it
    }
    if (conn !== this.#conn) return;
    this.#closed = why;
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { pid } of familyOf(this.process.pid)) kill(pid);
    await this.process.status;
    await Promise.all(this.#output);
    try {
      this.#conn.close();
    } catch {
      // Hung up by the test
    }
    await Deno.remove(this.slot, { recursive: true });
  }
}
