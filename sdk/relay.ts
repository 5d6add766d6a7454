/**
 * How a gateway comes to a container of another machine: it connects to the port of the runner there and says one line. The runner
 * answers with one, and from then on all bytes are passed on, both ways.
 */

/** What the first line asks for. */
export interface Knock {
  /** The runner's own, which it has told the api when it joined. */
  readonly key: string;
  readonly container: string;
}

const KNOCK = /^berth-relay\/1 ([!-~]+) ([!-~]+)\n$/;
/** Nobody who has the key says more. */
const LINE_BYTES_MAX = 512;

export const formatKnock = ({ key, container }: Knock): string => `berth-relay/1 ${key} ${container}\n`;

/** Null when the line is no such request. */
export function parseKnock(line: string): Knock | null {
  const [, key, container] = KNOCK.exec(line) ?? [];
  return key === undefined ? null : { key, container: container! };
}

/** The answer to a knock; any other is a refusal. */
export const WELCOME = "ok\n";

/** The first line that comes; null when the connection ends before, or what comes is none. Nothing may come behind it. */
export async function readLine(connection: Deno.Conn): Promise<string | null> {
  const buffer = new Uint8Array(LINE_BYTES_MAX);
  for (let filled = 0; filled < buffer.length;) {
    const n = await connection.read(buffer.subarray(filled));
    if (n === null) return null;
    filled += n;
    if (buffer[filled - 1] === LF) return new TextDecoder().decode(buffer.subarray(0, filled));
  }
  return null;
}

const LF = 10;
const BUFFER_BYTES = 64 * 1024;

/** Passes bytes both ways until both sides have ended, or one of them broke. Closes both. `one` is told `first` before. */
export async function splice(one: Deno.Conn, other: Deno.Conn, first = ""): Promise<void> {
  try {
    await writeAll(one, new TextEncoder().encode(first));
    await Promise.all([pass(one, other), pass(other, one)]);
  } catch {
    // One has gone without a word; the other will notice.
  } finally {
    close(one);
    close(other);
  }
}

async function pass(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (;;) {
    const n = await from.read(buffer);
    if (n === null) return await to.closeWrite();
    await writeAll(to, buffer.subarray(0, n));
  }
}

export async function writeAll(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
}

/** No error when it is closed. */
export function close(one: { close(): void }): void {
  try {
    one.close();
  } catch {
    // It has ended by itself.
  }
}
