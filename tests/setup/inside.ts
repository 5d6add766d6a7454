/** What tests of commands inside containers share: the command line with something to read, a terminal, and what was left running. */
import assert from "node:assert/strict";
import { CLI, type Platform } from "./platform.ts";
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
