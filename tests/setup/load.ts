/** Work for a platform under which parts are killed: it goes on whatever happens, and remembers what it was promised. */
import assert from "node:assert/strict";
import type { Call } from "../../sdk/protocol.ts";
import type { Platform } from "./platform.ts";
import { until, untilTrue } from "./until.ts";

/** The platform as it is now: after a kill it is another one at the same place. */
type Now = () => Platform;

const PATIENCE_MS = 120_000;
const BATCH = 50;
/** More than can be done in the time that a part takes to come back. */
const QUEUED_MIN = 100;
const PAUSE_MS = 20;

/** Keeps the queue of a function filled with numbers from 0 on, batch by batch. */
export class Callers {
  readonly #batches: string[] = [];
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(private readonly platform: Now, private readonly app: string, private readonly name: string) {
    this.#running = this.#run();
  }

  /** Stops, waits until all has ended, and asserts that each call did once and with the right result. */
  async finish(expected: (n: number) => number): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const batch of this.#batches) {
      const ends = await until(
        `batch ${batch} of ${this.name} has ended`,
        () => this.#ends(batch),
        PATIENCE_MS,
      );
      const all = Array.from({ length: BATCH }, (_, n) => [n, "succeeded", expected(n)]);
      assert.deepEqual(ends.toSorted(([a], [b]) => a - b), all);
    }
  }

  async #run(): Promise<void> {
    const { platform, app, name } = this;
    const inputs = Array.from({ length: BATCH }, (_, n) => n);
    for (let sent = 0;; sent++) {
      await untilTrue(`there is room for ${name}`, () => this.#hasRoom(), PATIENCE_MS);
      if (this.#stopped) return;
      // The answer may be lost, and then it is asked again: the key makes one batch of it.
      const key = { "idempotency-key": `${name}-${sent}` };
      const submit = () =>
        platform().post<{ batch: string }>(`/v1/apps/${app}/functions/${name}/calls`, { inputs }, key);
      const accepted = await until(`a batch of ${name} is accepted`, async () => {
        const answer = await submit().catch(() => null);
        return answer?.status === 202 ? answer.body.batch : null;
      }, PATIENCE_MS);
      this.#batches.push(accepted);
    }
  }

  async #hasRoom(): Promise<boolean> {
    const path = `/v1/calls?app=${this.app}&function=${this.name}&state=queued&limit=${QUEUED_MIN}`;
    const answer = await this.platform().ask<{ items: Call[] }>(path).catch(() => null);
    return this.#stopped || answer?.status === 200 && answer.body.items.length < QUEUED_MIN;
  }

  /** Index, state, and result or failure of each call; null while some have not ended. */
  async #ends(batch: string): Promise<[number, string, unknown][] | null> {
    const text = await (await this.platform().fetch(`/v1/batches/${batch}/results`)).text();
    const lines = text.trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.length > 0);
    if (lines.length < BATCH) return null;
    return lines.map(([n, state, result, failure]) => [n, state, state === "succeeded" ? result : failure]);
  }
}

/** Asks an endpoint that echoes its query, one request after another. It may be refused; what is answered is to be right. */
export class Visitors {
  answered = 0;
  readonly #running: Promise<void>;
  readonly #over = new AbortController();

  constructor(platform: Now, path: string) {
    this.#running = this.#run(platform, path);
  }

  async finish(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  async #run(platform: Now, path: string): Promise<void> {
    const { signal } = this.#over;
    for (let n = 0; !signal.aborted; n++) {
      const answer = await fetch(new URL(`${path}?${n}`, platform().url), { signal }).then(
        async (response) => [response.status, await response.text()] as const,
      ).catch(() => null);
      if (answer?.[0] === 200) {
        assert.equal(answer[1], `?${n}`);
        this.answered++;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
