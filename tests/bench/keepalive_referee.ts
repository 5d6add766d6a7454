/**
 * Who was cold, and what was idle: the rules of the keep-alive track of the published benchmark, on values. One endpoint is one
 * instance that is busy, idle and loaded, or unloaded. Pure but for the policy that it asks.
 */
import type { Windows } from "../../scheduler/keepalive.ts";

export interface KeepRequest {
  readonly endpoint: string;
  readonly atMs: number;
  readonly execMs: number;
}

export interface KeepCase {
  readonly loadMs: number;
  readonly horizonMs: number;
  /** In the order of time. */
  readonly requests: readonly KeepRequest[];
}

/** Told of every request, asked at the end of each burst. */
export interface KeepAlive {
  request(endpoint: string, atMs: number): void;
  idle(endpoint: string, atMs: number): Windows;
}

export interface Verdict {
  readonly coldPercent: number;
  readonly idleHours: number;
}

interface Instance {
  busyUntil: number;
  /** Windows of the gap since then; null before the first request. */
  loaded: { from: number; until: number } | null;
}

export function judge({ loadMs, horizonMs, requests }: KeepCase, policy: KeepAlive): Verdict {
  const instances = new Map<string, Instance>();
  let cold = 0, idleMs = 0;
  const ends = new Ends((endpoint, at) => {
    const { prewarmMs, keepMs } = policy.idle(endpoint, at);
    const from = at + prewarmMs;
    instances.get(endpoint)!.loaded = { from, until: from + keepMs };
  });
  const settle = ({ loaded }: Instance, at: number) => {
    if (loaded === null) return;
    idleMs += Math.max(0, Math.min(at, loaded.until, horizonMs) - Math.min(loaded.from, horizonMs));
  };
  for (const { endpoint, atMs, execMs } of requests) {
    ends.upTo(atMs);
    const known = instances.get(endpoint);
    const instance = known ?? { busyUntil: -Infinity, loaded: null };
    instances.set(endpoint, instance);
    let loads = 0;
    if (instance.busyUntil <= atMs) {
      const { loaded } = instance;
      if (loaded === null || atMs < loaded.from || atMs > loaded.until) {
        cold++;
        loads = loadMs;
      }
      settle(instance, atMs);
      instance.loaded = null;
    }
    policy.request(endpoint, atMs);
    instance.busyUntil = Math.max(instance.busyUntil, atMs + loads + execMs);
    ends.set(endpoint, instance.busyUntil);
  }
  ends.upTo(Infinity);
  for (const instance of instances.values()) settle(instance, horizonMs);
  return { coldPercent: 100 * cold / requests.length, idleHours: idleMs / 3_600_000 };
}

/** When instances fall idle, in the order of time. */
class Ends {
  readonly #at = new Map<string, number>();
  readonly #tell: (endpoint: string, at: number) => void;

  constructor(tell: (endpoint: string, at: number) => void) {
    this.#tell = tell;
  }

  set(endpoint: string, at: number): void {
    this.#at.set(endpoint, at);
  }

  upTo(now: number): void {
    const over = [...this.#at].filter(([, at]) => at <= now).sort((a, b) => a[1] - b[1]);
    for (const [endpoint, at] of over) {
      this.#at.delete(endpoint);
      this.#tell(endpoint, at);
    }
  }
}
