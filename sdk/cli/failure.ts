/** How the CLI ends when something is wrong: a sentence, the next step, and an exit code. */

/** Exit codes of every command, as `berth --help` lists them. */
export const EXIT = {
  ok: 0,
  /** The call ended without a result. */
  callFailed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The platform refused, or could not be reached. */
  platform: 3,
  /** The file cannot be deployed: it does not bundle, type-check or load. */
  source: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** Ends the command with `exit` and prints `message`, with `hint` as the next step under it. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: number;
  readonly hint: string | undefined;

  constructor(exit: number, message: string, more: { hint?: string; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.exit = exit;
    this.hint = more.hint;
  }
}

/** The command line is wrong. */
export const usageError = (message: string, hint?: string): CliError =>
  new CliError(EXIT.usage, message, hint === undefined ? {} : { hint });

/** A place in the user's source, counted from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The user's file cannot be deployed; `place` is where, `details` what the compiler showed. */
export class SourceError extends CliError {
  readonly place: Place | undefined;
  readonly details: string | undefined;

  constructor(message: string, more: { place?: Place; details?: string; hint?: string } = {}) {
    super(EXIT.source, message, more.hint === undefined ? {} : { hint: more.hint });
    this.place = more.place;
    this.details = more.details;
  }
}

/** `app.ts:3:14` */
export const formatPlace = ({ file, line, column }: Place): string => `${file}:${line}:${column}`;
