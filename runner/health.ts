/** Whether a server is well: it takes a connection and, where it says how to ask, answers with 2xx. */
import { parseDuration } from "../sdk/duration.ts";
import { close } from "../sdk/connection.ts";
import type { Clock } from "../sdk/ports.ts";
import type { HealthSpec } from "../sdk/protocol.ts";
import type { Channel } from "./engine.ts";

/** As much of an answer as is read to find its status. */
const HEAD_BYTES = 1_024;

export interface Asked {
  /** Connects to the server; rejects when nobody listens. */
  readonly dial: () => Promise<Channel>;
  /** Where that is, for messages. */
  readonly place: string;
  readonly health: HealthSpec | undefined;
}

/** What is wrong with a server, in a clause; null when it is well. */
export async function ailment({ dial, place, health }: Asked, clock: Clock): Promise<string | null> {
  let connection: Channel;
  try {
    connection = await dial();
  } catch {
    return `nothing listens on ${place}`;
  }
  const answered = new AbortController();
  const asked = health === undefined ? null : ask(connection, health, clock, answered.signal);
  const problem = await asked;
  answered.abort();
  close(connection);
  return problem;
}

async function ask(
  connection: Channel,
  { path, timeout }: HealthSpec,
  clock: Clock,
  answered: AbortSignal,
): Promise<string | null> {
  const late = clock.sleep(parseDuration(timeout), answered).then(() => `did not answer within ${timeout}`);
  const problem = await Promise.race([statusProblem(connection, path).catch(() => "broke off"), late]);
  return problem === null ? null : `GET ${path} ${problem}`;
}

async function statusProblem(connection: Channel, path: string): Promise<string | null> {
  const request =
    `GET ${path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: berth-health\r\nconnection: close\r\n\r\n`;
  const bytes = new TextEncoder().encode(request);
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
  const status = statusOf(await firstLine(connection));
  if (status === null) return "did not answer in HTTP/1.1";
  return status >= 200 && status < 300 ? null : `answered ${status}`;
}

async function firstLine(connection: Channel): Promise<string> {
  const buffer = new Uint8Array(HEAD_BYTES);
  let text = "";
  while (!text.includes("\n") && text.length < HEAD_BYTES) {
    const n = await connection.read(buffer);
    if (n === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, n));
  }
  return text.split("\n", 1)[0]!;
}

/** The status of the first line of an answer; null when it is none. */
export function statusOf(line: string): number | null {
  const status = /^HTTP\/1\.[01] (\d{3})\b/.exec(line)?.[1];
  return status === undefined ? null : Number(status);
}
