/** A shell for tests of the command line: what is written is kept, and a function stands in for the platform. */
import { runCli } from "../../sdk/cli/program.ts";
import type { Shell, Stream } from "../../sdk/cli/shell.ts";
import { realClock, realRandom } from "../../sdk/ports.ts";

export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body: string;
  /** The header `range`, where there is one. */
  readonly range?: string | undefined;
}
/** Answers a request as the platform would. Throwing means that nobody is there. */
export type Answer = (asked: Asked) => Response | Promise<Response>;

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly asked: Asked[];
}

/** Runs one command line. `change` replaces parts of the shell. */
export async function berth(
  args: readonly string[],
  answer: Answer,
  change: Partial<Shell> = {},
): Promise<Said> {
  const [out, err] = [new Sink(), new Sink()];
  const asked: Asked[] = [];
  const shell: Shell = {
    cwd: "/nowhere",
    out,
    err,
    input: () => ReadableStream.from([]),
    terminal: null,
    connect: () => {
      throw new Error("Nobody was to be connected to");
    },
    stdin: () => Promise.reject(new Error("Nothing was to be read")),
    hidden: () => Promise.reject(new Error("Nothing was to be asked for")),
    profile: () => ({ url: "http://berth.test", key: "berth_key" }),
    fetch: async (input, init) => {
      const url = new URL(input);
      const body = init?.body === undefined || init.body === null ? "" : await new Response(init.body).text();
      const range = new Headers(init?.headers).get("range");
      const one = {
        method: init?.method ?? "GET",
        path: url.pathname + url.search,
        body,
        ...range === null ? {} : { range },
      };
      asked.push(one);
      return await answer(one);
    },
    clock: realClock,
    random: realRandom,
    run: () => Promise.reject(new Error("Nothing was to be run")),
    env: {},
    interrupted: () => new AbortController().signal,
    browse: () => Promise.resolve(true),
    ...change,
  };
  const code = await runCli(shell, args);
  return { code, out: out.text, err: err.text, asked };
}

class Sink implements Stream {
  text = "";
  readonly terminal = false;
  readonly columns = Infinity;
  readonly colour = false;
  readonly write = (text: string): void => {
    this.text += text;
  };
  readonly writeBytes = (bytes: Uint8Array): void => this.write(new TextDecoder().decode(bytes));
}

export const json = (value: unknown, status = 200): Response => Response.json(value, { status });

/** Server-sent events: `["item", …]` pairs of event name and data. */
export function sse(...events: [event: string, data: unknown][]): Response {
  const text = events.map(([event, data], i) =>
    `id: ${i + 1}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`
  ).join("");
  return new Response(text, { headers: { "content-type": "text/event-stream" } });
}
