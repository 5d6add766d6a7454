/** What a provider is to do, from what is wanted and what there is. Pure, level-triggered: what is missed comes up again. */
import type { OpenProvision } from "../store/provisions.ts";
import type { Machine } from "./provider.ts";

export type Deed =
  | { readonly do: "start"; readonly provision: OpenProvision }
  /** It has been started, though nobody wrote that down. */
  | { readonly do: "adopt"; readonly machine: Machine }
  | { readonly do: "stop"; readonly machine: Machine }
  /** The provision is over; with an error when it should not be. */
  | { readonly do: "end"; readonly provision: string; readonly error: string | null };

/**
 * @param machines listed before `open` was read: then none can be of a provision that came since
 * @param open all provisions of the provider's pools that are not over
 * @param isKept whether a pool is ours to keep
 */
export function reconcile(
  { machines, open, isKept, now }: {
    readonly machines: readonly Machine[];
    readonly open: readonly OpenProvision[];
    readonly isKept: (pool: string) => boolean;
    readonly now: number;
  },
): Deed[] {
  const known = new Map(machines.map((machine) => [machine.provision, machine]));
  const wanted = new Set(open.map(({ id }) => id));
  return [
    ...open.filter(({ pool }) => isKept(pool)).flatMap((one) => deedFor(one, known.get(one.id), now)),
    ...machines.filter(({ provision }) => !wanted.has(provision)).map((machine): Deed => ({
      do: "stop",
      machine,
    })),
  ];
}

function deedFor(provision: OpenProvision, machine: Machine | undefined, now: number): Deed[] {
  const { id, state, deadlineAt } = provision;
  if (state === "releasing") {
    return [machine === undefined ? { do: "end", provision: id, error: null } : { do: "stop", machine }];
  }
  if (machine === undefined) {
    if (state !== "requested") return [{ do: "end", provision: id, error: "its machine is gone" }];
    return now < deadlineAt.getTime() ? [{ do: "start", provision }] : [];
  }
  if (machine.state === "gone") return [{ do: "end", provision: id, error: goneError(state, machine) }];
  return state === "requested" ? [{ do: "adopt", machine }] : [];
}

const goneError = (state: OpenProvision["state"], { message }: Machine): string =>
  [state === "joined" ? "its machine ended" : "its machine ended before it joined", message].filter(Boolean)
    .join(": ");
