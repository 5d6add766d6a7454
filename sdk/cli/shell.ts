/** The world as the CLI sees it: a terminal, a folder, a way to the platform. `main.ts` makes the real one. */
import type { Profile } from "../config.ts";
import type { Socket } from "../exec_channel.ts";
import type { Clock, Fetch, Random } from "../ports.ts";
import type { TerminalSize } from "../protocol/exec.ts";
import type { RunDeno } from "./deno_process.ts";

export interface Shell {
  /** Folder that relative paths are relative to: the user's, not the one a task was started in. */
  readonly cwd: string;
  /** For results: what a script reads. */
  readonly out: Stream;
  /** For everything else: what a person reads. */
  readonly err: Stream;
  /** All of standard input, as text. */
  readonly stdin: () => Promise<string>;
  /** Asks for a line that the terminal does not show; null where there is none, or the user gave up. */
  readonly hidden: (question: string) => Promise<string | null>;
  /** Standard input as it comes. */
  readonly input: () => ReadableStream<Uint8Array>;
  /** The terminal that standard input and output are; null when they are none. */
  readonly terminal: Terminal | null;
  /** A WebSocket to the platform. */
  readonly connect: (url: string, headers: Readonly<Record<string, string>>) => Socket;
  /** Url and key of the platform. Throws when nobody said. */
  readonly profile: () => Profile;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: Random;
  readonly run: RunDeno;
  /** The environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  /** Aborts at the first Ctrl-C, from when it is first asked for; until then Ctrl-C ends the process as usual. */
  readonly interrupted: () => AbortSignal;
  /** Shows a page in the user's browser; false when there is none. */
  readonly browse: (url: string) => Promise<boolean>;
}

/** A terminal that a command elsewhere can take over. */
export interface Terminal {
  /** Its kind, as TERM has it. */
  readonly term: string;
  readonly size: () => TerminalSize;
  /** Raw: keys are passed on as they are typed, and nothing is made of them here. */
  readonly raw: (on: boolean) => void;
  /** Tells of new sizes, until what it returns is called. */
  readonly onResize: (heard: (size: TerminalSize) => void) => () => void;
}

export interface Stream {
  readonly write: (text: string) => void;
  readonly writeBytes: (bytes: Uint8Array) => void;
  readonly terminal: boolean;
  /** Characters per line. */
  readonly columns: number;
  readonly colour: boolean;
}
