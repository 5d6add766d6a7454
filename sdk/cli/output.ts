/** What a command says: its result on stdout (JSON with `--json`), everything else on stderr, colour only where it shows. */
import { stripVTControlCharacters, styleText } from "node:util";
import type { Shell, Stream } from "./shell.ts";

export type Style = Parameters<typeof styleText>[0];

export class Output {
  readonly #shell: Shell;
  /** True with `--json`. */
  readonly json: boolean;
  #status = "";

  constructor(shell: Shell, json: boolean) {
    this.#shell = shell;
    this.json = json;
  }

  /** The result of the command: one JSON document, or what `human` makes of it. */
  result(value: unknown, human: () => string): void {
    this.print(this.json ? JSON.stringify(value) : human());
  }

  /** One line on stdout. */
  print(line: string): void {
    this.#above(() => this.#shell.out.write(`${line}\n`));
  }

  /** One line for the person, on stderr. */
  note(line: string): void {
    this.#above(() => this.#shell.err.write(`${line}\n`));
  }

  /** What goes on right now: one line at the bottom of a terminal, replaced by the next; elsewhere nothing. */
  status(line: string): void {
    if (!this.#shell.err.terminal || line === this.#status) return;
    const cut = clip(line, this.#shell.err.columns - 1);
    this.#shell.err.write(`\r\x1b[K${cut}`);
    this.#status = line;
  }

  /** Takes the status line away. */
  clearStatus(): void {
    if (this.#status !== "") this.#shell.err.write("\r\x1b[K");
    this.#status = "";
  }

  /** Whether a status line is seen by anyone. */
  get live(): boolean {
    return this.#shell.err.terminal;
  }

  get columns(): number {
    return this.#shell.out.columns;
  }

  /** Coloured for stdout. */
  paint(style: Style, text: string): string {
    return paint(this.#shell.out, style, text);
  }

  /** Coloured for stderr. */
  tint(style: Style, text: string): string {
    return paint(this.#shell.err, style, text);
  }

  #above(write: () => void): void {
    const status = this.#status;
    this.clearStatus();
    write();
    this.status(status);
  }
}

function paint(stream: Stream, style: Style, text: string): string {
  return stream.colour ? styleText(style, text, { validateStream: false }) : text;
}

/** Characters that a text takes on a terminal. */
export const width = (text: string): number => stripVTControlCharacters(text).length;

/** At most `max` characters of a line; colour is given up where it must be cut. */
export function clip(line: string, max: number): string {
  if (width(line) <= max) return line;
  return `${stripVTControlCharacters(line).slice(0, Math.max(0, max - 1))}…`;
}
