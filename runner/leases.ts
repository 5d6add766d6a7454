/**
 * The leases this runner holds: from the claim until every report of it has *arrived*. A report that is only on its way still
 * holds its lease, or `sync` would say that the call fell between and it would run twice.
 */
import type { Claim } from "../sdk/protocol.ts";
import type { HeldCall, HeldLease } from "./calls.ts";

/** Leases ended of late that are remembered, in case a repeated reply names them again. */
const OVER_MAX = 4_096;

export class Leases {
  readonly #open = new Map<number, { readonly lease: HeldLease; unreported: number }>();
  readonly #over = new Set<number>();

  /** Takes up a claim; null when it is known already. */
  open(claim: Claim, now: number): HeldLease | null {
    if (this.#open.has(claim.lease) || this.#over.has(claim.lease)) return null;
    const lease: HeldLease = {
      id: claim.lease,
      container: claim.container,
      batch: claim.batch,
      lo: claim.lo,
      attempt: claim.attempt,
      method: claim.method,
      master: claim.master,
      calls: [],
    };
    claim.inputs.forEach((input, i) => lease.calls.push(heldCall(lease, claim.lo + i, input, now)));
    this.#open.set(lease.id, { lease, unreported: claim.inputs.length });
    return lease;
  }

  /** Takes up what an earlier runner held. */
  adopt(lease: HeldLease): void {
    this.#open.set(lease.id, { lease, unreported: lease.calls.length });
  }

  /** `count` reports of a lease have arrived. */
  reported(id: number, count: number): void {
    const entry = this.#open.get(id);
    if (entry === undefined) return;
    entry.unreported -= count;
    if (entry.unreported > 0) return;
    this.#open.delete(id);
    this.#over.add(id);
    if (this.#over.size > OVER_MAX) this.#over.delete(this.#over.values().next().value!);
  }

  find(id: number, index: number): HeldCall | undefined {
    const lease = this.#open.get(id)?.lease;
    const call = lease?.calls[index - lease.lo];
    return call?.index === index ? call : lease?.calls.find((one) => one.index === index); // of an adopted one some are left
  }

  ids(): number[] {
    return [...this.#open.keys()];
  }
}

function heldCall(lease: HeldLease, index: number, input: Claim["inputs"][number], now: number): HeldCall {
  return {
    lease,
    index,
    input,
    state: "waiting",
    number: -1,
    givenAt: now,
    startedAt: 0,
    told: 0,
    doom: null,
  };
}
