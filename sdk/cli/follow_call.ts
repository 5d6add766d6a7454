/** Waits for the end of a call, showing meanwhile what it says, and why it waits itself. */
import { CallHandle } from "../call_handle.ts";
import { CallFailedError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Call } from "../protocol/calls.ts";
import type { Wire } from "../transport.ts";
import { incoming } from "../values.ts";
import type { CallView } from "./call_view.ts";

/** How often it is asked why it waits. */
const LOOK_MS = 2_000;

export interface WaitForCall {
  readonly view: CallView;
  /** Whether its logs and events are shown. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** The finished call. */
export async function waitForCall(
  wire: Wire,
  id: string,
  { view, follow, signal }: WaitForCall,
): Promise<Call> {
  const handle = new CallHandle(wire, id);
  const over = new AbortController();
  const waiting = showWait(handle, view, wire.clock, over.signal);
  try {
    if (follow) await Promise.all([showLogs(handle, view, signal), showEvents(handle, view, signal)]);
    else await handle.result({ signal }).catch(ignoreFailure);
    const call = await handle.status({ signal });
    return { ...call, result: await incoming(wire, call.result, signal) as Call["result"] };
  } finally {
    over.abort();
    await waiting;
    view.end();
  }
}

/** Until it is over. That nobody answers is told elsewhere. */
async function showWait(
  handle: CallHandle,
  view: CallView,
  clock: Clock,
  over: AbortSignal,
): Promise<void> {
  for (await clock.sleep(LOOK_MS, over); !over.aborted; await clock.sleep(LOOK_MS, over)) {
    const call = await handle.status({ signal: over }).catch(() => null);
    if (over.aborted || call === null) continue;
    if (call.waiting !== undefined) view.waits(call.waiting, clock.now());
    else view.waitsNoMore();
  }
}

async function showLogs(handle: CallHandle, view: CallView, signal: AbortSignal): Promise<void> {
  for await (const item of handle.logs({ signal })) view.log(item);
}

async function showEvents(handle: CallHandle, view: CallView, signal: AbortSignal): Promise<void> {
  for await (const item of handle.events({ signal })) view.event(item);
}

/** That the call failed is in its status; anything else ends the wait. */
function ignoreFailure(error: unknown): void {
  if (!(error instanceof CallFailedError)) throw error;
}
