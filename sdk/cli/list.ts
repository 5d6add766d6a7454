/** Lists: the commands that show pages of something. */
import type { Command } from "commander";
import type { Page, PageOf } from "../protocol/primitives.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { Job } from "./cli.ts";
import { usageError } from "./failure.ts";
import { type Column, table } from "./table.ts";

export interface ListOptions {
  readonly limit: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

type Ask<T> = (page: { limit: Page["limit"]; cursor?: string }) => Promise<PageOf<T>>;

/** Adds the options that every list has. */
export function listOptions(command: Command, limit = 50): Command {
  return command
    .option("--limit <n>", "show at most this many", limitOf, limit)
    .option("--cursor <cursor>", "go on after an earlier page")
    .option("--all", "show all pages");
}

function limitOf(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) {
    throw usageError(`Cannot use --limit ${text}: it must be a whole number above 0`);
  }
  return n;
}

/** Collects as many items as were asked for, over as many pages as that takes. */
export async function collect<T>(ask: Ask<T>, options: ListOptions): Promise<PageOf<T>> {
  const wanted = options.all ? Infinity : options.limit;
  const items: T[] = [];
  let cursor = options.cursor;
  do {
    const limit = Math.min(wanted - items.length, LIMITS.pageItems);
    const page = await ask({ limit, ...(cursor === undefined ? {} : { cursor }) });
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined && items.length < wanted);
  return { items, ...(cursor === undefined ? {} : { nextCursor: cursor }) };
}

/** Shows a list: as JSON, as a table, or `empty` with the next step when there is nothing. */
export function showList<T>(
  { output }: Job,
  page: PageOf<T>,
  { columns, empty }: { columns: readonly Column<T>[]; empty: string },
): void {
  if (output.json) return output.print(JSON.stringify(page));
  if (page.items.length === 0) return output.note(empty);
  output.print(
    table(page.items, columns, { columns: output.columns, strong: (text) => output.paint("bold", text) }),
  );
  if (page.nextCursor !== undefined) {
    output.note(output.tint("dim", `More: --all, or --cursor ${page.nextCursor}`));
  }
}
