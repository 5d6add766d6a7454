/** Turns what `deno bundle` and `deno check` print into sentences about the user's file. Pure. */
import { fileURLToPath } from "node:url";
import { relative } from "node:path";
import type { Place } from "./failure.ts";

export interface Complaint {
  readonly message: string;
  readonly place?: Place;
  /** Source lines with a pointer, as the compiler drew them. */
  readonly frame?: string;
}

const AT = /^\s*at (file:\/\/\S+?):(\d+):(\d+)$/m;
const NOISE = /^(error: )?(bundling failed|Type checking failed\.|Found \d+ errors?\.)\s*$/;

/** The complaints in `stderr`, most important first; paths relative to `cwd`. `read` gives the text of a source file. */
export function readComplaints(
  stderr: string,
  cwd: string,
  read: (path: string) => string | null,
): Complaint[] {
  const said = stderr.replace(/\n*Stack backtrace:[\s\S]*$/, "");
  const blocks = said.split(/\n(?=error: |TS\d+ \[ERROR\]: )/).map((block) => block.trim())
    .filter((block) => block !== "" && !NOISE.test(block));
  return blocks.map((block) => readComplaint(block, cwd, read));
}

function readComplaint(block: string, cwd: string, read: (path: string) => string | null): Complaint {
  const at = AT.exec(block);
  // What follows the place is about declarations elsewhere.
  const lines = block.slice(0, at?.index).split("\n").filter((line) => !NOISE.test(line));
  const message = lines[0]!.replace(/^error: (SyntaxError: )?/, "").replace(/^(TS\d+) \[ERROR\]:/, "$1:");
  const frame = lines.slice(1).join("\n").trimEnd();
  return {
    message: message.replace(/file:\/\/[^\s"']+/g, (url) => shortPath(url, cwd)),
    ...(frame.trim() === "" ? {} : { frame }),
    ...(at === null ? {} : { place: placeOf(at, message, cwd, read) }),
  };
}

/**
 * The bundler's own errors count lines of the transpiled text. When the quoted name is not on the line they say, the first
 * line of the source that has it is meant.
 */
function placeOf(
  at: RegExpExecArray,
  message: string,
  cwd: string,
  read: (path: string) => string | null,
): Place {
  const [, url, line, column] = at as unknown as [string, string, string, string];
  const said = { file: shortPath(url, cwd), line: Number(line), column: Number(column) };
  const name = /(?:for import|Import) "([^"]+)"/.exec(message)?.[1];
  const lines = read(fileURLToPath(url))?.split("\n");
  if (name === undefined || lines === undefined || lines[said.line - 1]?.includes(name)) return said;
  const index = lines.findIndex((text) => /\b(import|export|from)\b/.test(text) && hasWord(text, name));
  return index === -1 ? said : { ...said, line: index + 1, column: lines[index]!.indexOf(name) + 1 };
}

function hasWord(text: string, word: string): boolean {
  return text.split(/[^\w$@/.:-]+/).includes(word);
}

function shortPath(url: string, cwd: string): string {
  const path = fileURLToPath(url);
  const short = relative(cwd, path);
  return short.startsWith("../..") ? path : short;
}
