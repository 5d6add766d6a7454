/** What tests of servers share: where one listens, what it answers, and its end. */
import { HttpUpstream } from "../../api/gateway/upstream.ts";
import { dialContainer } from "../../api/gateway/dial.ts";
import { realClock } from "../../sdk/ports.ts";
import type { TestRunner } from "./runner.ts";
import { until } from "./until.ts";

/** A first start takes long where an engine is busy with others. */
const PATIENCE_MS = 120_000;

/** Where a server listens, once it is ready. */
export const address = (runner: TestRunner, id: string) =>
  until(`${id} is ready`, () => {
    const seen = runner.api.observed.get(id);
    if (seen?.exit !== undefined) throw new Error(`It ended: ${seen.exit.message}`);
    return seen?.address ?? null;
  }, PATIENCE_MS);

/** GET of a path as the gateway asks. */
export async function get(at: string, path = "/"): Promise<{ status: number; text: string }> {
  const upstream = new HttpUpstream({ clock: realClock, dial: dialContainer });
  const head = `GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;
  const signal = new AbortController().signal;
  const { status, body } = await upstream.send(at, { method: "GET", head, body: null }, {
    signal,
    until: Date.now() + 5_000,
    ended: () => {},
  });
  const text = await new Response(body).text();
  upstream.close();
  return { status, text };
}

/** The scheduler wants it to end what it has. */
export function drain(runner: TestRunner, id: string): void {
  const wanted = runner.api.wanted.find((assignment) => assignment.id === id)!;
  runner.api.want({ ...wanted, desired: "drain" });
}
