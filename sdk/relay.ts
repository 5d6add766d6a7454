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
