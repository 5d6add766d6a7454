/** The options of every command that makes a call. */
import type { Command } from "commander";
import { isDuration } from "../duration.ts";
import type { CallOptions } from "../calls.ts";
import { usageError } from "./failure.ts";

export interface CallFlags {
  readonly input?: string;
  readonly priority?: number;
  readonly ttl?: string;
  readonly delay?: string;
  readonly tag?: Record<string, string>;
  readonly concurrencyKey?: string;
}

/** Adds `--input`, `--priority`, `--ttl`, `--delay`, `--tag` and `--concurrency-key`. */
export function callOptions(command: Command): Command {
  return command
    .option("-i, --input <json>", "the input: JSON, @FILE, or - for standard input")
    .option("--priority <0-100>", "0 is whenever, 100 is first", priorityOf)
    .option("--ttl <duration>", "expire when it has not started after this long", durationOf)
    .option("--delay <duration>", "wait this long before it may start", durationOf)
    .option("--tag <key=value>", "a word to find it by; may be repeated", addTag)
    .option("--concurrency-key <key>", "wait while as many calls with this key run as the function allows");
}

/** The flags as the SDK takes them. */
export function callOptionsOf({ priority, ttl, delay, tag, concurrencyKey }: CallFlags): CallOptions {
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(delay === undefined ? {} : { delay }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(concurrencyKey === undefined ? {} : { concurrencyKey }),
  };
}

function priorityOf(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 0 || n > 100) {
    throw usageError(`Cannot use --priority ${text}: it must be a whole number from 0 to 100`);
  }
  return n;
}

function durationOf(text: string): string {
  if (!isDuration(text)) {
    throw usageError(`Cannot read duration "${text}": expected a number and a unit, such as 90s or 1h30m`);
  }
  return text;
}

function addTag(text: string, tags: Record<string, string> = {}): Record<string, string> {
  const at = text.search(/[=:]/);
  if (at < 1) throw usageError(`Cannot read --tag ${text}: expected KEY=VALUE`);
  return { ...tags, [text.slice(0, at)]: text.slice(at + 1) };
}
