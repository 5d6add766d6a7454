/** What tests of commands inside containers share: the command line with something to read, a terminal, and what was left running. */
import assert from "node:assert/strict";
import { ExecChannel } from "../../sdk/exec_channel.ts";
import { safely } from "../../sdk/proc.ts";
import type { Container, ExecSaid } from "../../sdk/protocol.ts";
import { CLI, type Platform } from "./platform.ts";
import { processes } from "./processes.ts";
import { untilTrue } from "./until.ts";

export const envOf = ({ url, key }: Platform) => ({ BERTH_URL: url, BERTH_KEY: key, NO_COLOR: "1" });

/** The command line with something to read. */
export async function feed(platform: Platform, input: string | Uint8Array, ...args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CLI, ...args],
    env: envOf(platform),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input);
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** A client of a command that takes nothing before `taking` resolves, and does not close. */
export async function slowClient(
  platform: Platform,
  container: string,
  command: string[],
  taking: Promise<unknown>,
) {
  const url = `${platform.url.replace("http:", "ws:")}/v1/containers/${container}/exec`;
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${platform.key}` } });
  const channel = new ExecChannel(socket);
  assert.ok(await channel.opened);
  channel.say({ t: "open", command });
  let bytes = 0;
  const begun = Promise.withResolvers<void>(), last = Promise.withResolvers<ExecSaid | null>();
  const words: ExecSaid[] = [];
  channel.listen({
    bytes: async (_, { length }) => {
      begun.resolve();
      await taking;
      bytes += length;
    },
    said: (said) => {
      words.push(said);
      last.resolve(said);
    },
  });
  channel.finished.then(() => last.resolve(null));
  const isOpen = () => socket.readyState === WebSocket.OPEN;
  return { channel, begun: begun.promise, last: last.promise, words, bytes: () => bytes, isOpen };
}

/**
 * A client gets all that a command has printed, however slow it is, and the last word; it is the one who closes.
 *
 * @param size in bytes: as much as is under way between a command that has ended and a client that takes nothing
 */
export async function losesNothing(platform: Platform, container: string, size: number): Promise<void> {
  const taking = Promise.withResolvers<void>();
  const print = ["head", "-c", `${size}`, "/dev/zero"];
  const slow = await slowClient(platform, container, print, taking.promise);
  const prints = () => processes().some(({ command }) => command === print.join(" "));
  await slow.begun;
  await untilTrue("it has printed all", () => !prints());
  await platform.berth("exec", container, "--", "sleep", "1.5"); // more than the last words of another have
  taking.resolve();
  assert.deepEqual([await slow.last, slow.bytes()], [{ t: "exit", code: 0, signal: null }, size]);
  const failing = await slowClient(platform, container, ["no-such-program"], taking.promise);
  assert.match((await failing.last)!.t, /error|exit/);
  await platform.berth("exec", container, "--", "true");
  for (const client of [slow, failing]) {
    assert.deepEqual([client.isOpen(), client.words.length], [true, 1]);
    client.channel.close();
  }
}

/** `berth shell` in a terminal of 91 columns and 33 rows. */
export function openShell(platform: Platform, container: string) {
  const line = [Deno.execPath(), "run", "-A", CLI, "shell", container].join(" ");
  const child = new Deno.Command("script", {
    args: ["-qfec", `stty cols 91 rows 33; exec ${line}`, "/dev/null"],
    env: { ...envOf(platform), TERM: "xterm", SHELL: "/bin/sh" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const keys = child.stdin.getWriter();
  return {
    seen: new Screen(child.stdout),
    type: (text: string) => keys.write(new TextEncoder().encode(text)),
    code: child.status.then(({ code }) => code),
    [Symbol.asyncDispose]: () => keys.close().catch(() => {}),
  };
}

/** Calls a function that fails and says `keepOnFailure`; the container that failed, once it is kept. */
export async function keptOf(platform: Platform, fn: string): Promise<string> {
  const { body } = await platform.post<{ calls: { id: string }[] }>(
    `/v1/apps/${fn.replace("/", "/functions/")}/calls`,
    { input: null },
  );
  const call = body.calls[0]!.id;
  await platform.ended(call);
  const attempts = await platform.ask<{ items: { container: string }[] }>(`/v1/calls/${call}/attempts`);
  const id = attempts.body.items[0]!.container;
  await untilTrue("it is kept", async () => (await containerOf(platform, id)).keptUntil !== null);
  return id;
}

export const containerOf = async (platform: Platform, id: string): Promise<Container> =>
  (await platform.ask<Container>(`/v1/containers/${id}`)).body;

/** What can be done with a kept container in which `left.txt` was written to `folder`. */
export async function looksInto(platform: Platform, id: string, folder: string): Promise<void> {
  const { stdout } = await platform.berth("ps");
  assert.match(stdout, new RegExp(`${id} .* kept, 59m .*left`));
  const script = `cat ${folder}/left.txt; echo " $GREETING [$CUDA_VISIBLE_DEVICES]"; cat; exit 4`;
  const read = await feed(platform, "typed", "exec", "-i", id, "--", "sh", "-c", script);
  assert.deepEqual([read.code, read.stdout], [4, "traces hello []\ntyped"], read.stderr);
  const to = `${platform.dir}/copied-${id}`;
  assert.equal((await platform.berth("cp", `${id}:${folder}/left.txt`, to)).code, 0);
  assert.equal(await Deno.readTextFile(to), "traces");
  {
    await using shell = openShell(platform, id);
    await shell.type("test -t 0 && stty size; exit 5\r");
    await shell.seen.until("33 91");
    assert.equal(await shell.code, 5);
  }
  const { code, stderr } = await platform.berth("containers", "rm", id);
  assert.equal(code, 0, stderr);
  await untilTrue("nothing is kept", async () => (await containerOf(platform, id)).keptUntil === null);
  await untilTrue("its files are gone", () => leftIn(platform.dir).length === 0);
  assert.match((await platform.berth("exec", id, "--", "true")).stderr, /it has ended/);
  const again = async () => (await platform.berth("containers", "rm", id)).stderr;
  await untilTrue("its runner has said so", async () => (await again()).includes("nothing of it is kept"));
}

/** Files `left.txt` below a folder. */
export const leftIn = (dir: string): string[] =>
  [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) =>
    isDirectory ? safely(() => leftIn(`${dir}/${name}`)) ?? [] : name === "left.txt" ? [`${dir}/${name}`] : []
  );

/** Processes called `sleep` that commands inside containers of this platform have started. */
export function sleepersIn(dir: string): number[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      const mine = Deno.readTextFileSync(`/proc/${name}/environ`).includes(`BERTH_EXEC=${dir}/`);
      return mine && Deno.readTextFileSync(`/proc/${name}/comm`) === "sleep\n" ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** What a terminal shows. */
class Screen {
  #text = "";
  #over = false;

  constructor(stdout: ReadableStream<Uint8Array>) {
    this.#read(stdout);
  }

  /** All that it shows once `text` is there. */
  async until(text: string): Promise<void> {
    const seen = () => this.#over || this.#text.includes(text);
    await untilTrue(`the terminal shows ${JSON.stringify(text)}`, seen, 15_000).catch((error) => {
      throw new Error(`${error.message}, but ${JSON.stringify(this.#text)}`);
    });
    assert.ok(this.#text.includes(text), `It ended without ${JSON.stringify(text)}: ${this.#text}`);
  }

  async #read(stdout: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stdout) {
      this.#text += decoder.decode(bytes, { stream: true });
    }
    this.#over = true;
  }
}
