/** Reports of an exchange, sorted by what is to be done about them. */
import type { Finished } from "../scheduler/store/calls.ts";
import { isPart, type PartReport } from "../scheduler/store/parts.ts";
import type { SaidValue } from "../scheduler/store/values.ts";
import { type ExchangeRequest, type Failure, isReference } from "../sdk/protocol.ts";

/** An attempt that failed; whether for good is yet to be decided. */
export type Failed = Omit<Finished, "state"> & { readonly value: Failure };

/** `parts` are those of gangs' ranks: how their calls end is decided over all ranks. */
export function byOutcome(reports: ExchangeRequest["reports"]) {
  const ended: Finished[] = [];
  const failed: Failed[] = [];
  const unstarted: { lease: number; index: number }[] = [];
  const parts: PartReport[] = [];
  for (const { lease, done } of reports) {
    for (const [index, outcome, value, startedAt, endedAt, cpuUs] of done) {
      const one = { lease, index, startedAt, endedAt, cpuUs };
      if (isPart(lease)) parts.push({ part: lease, outcome, value, startedAt, cpuUs });
      else if (outcome === 0) ended.push({ ...one, state: 0, value });
      else if (outcome === 1) failed.push({ ...one, value: value as Failure });
      else if (outcome === 2) ended.push({ ...one, state: 2, value });
      else unstarted.push({ lease, index });
    }
  }
  return { ended, failed, unstarted, parts };
}

/** The values that results and yields stand for. */
export function saidValues({ reports, events = [] }: ExchangeRequest): SaidValue[] {
  const said: SaidValue[] = [];
  for (const { lease, done } of reports) {
    for (const [, , value] of done) if (isReference(value)) said.push({ lease, id: value.$blob });
  }
  for (const [lease, , , , kind, { value }] of events) {
    if (kind === "yield" && isReference(value)) said.push({ lease, id: value.$blob });
  }
  return said;
}
