/** Waits for the end of a call, showing meanwhile what it says. */
import { CallHandle } from "../call_handle.ts";
import { CallFailedError } from "../errors.ts";
import type { Call } from "../protocol/calls.ts";
import type { Wire } from "../transport.ts";
import type { CallView } from "./call_view.ts";

/** The finished call. Without a view it only waits. */
export async function waitForCall(
  wire: Wire,
  id: string,
  options: { view?: CallView | undefined; signal: AbortSignal },
): Promise<Call> {
  const { view, signal } = options;
  const handle = new CallHandle(wire, id);
  if (view === undefined) {
    await handle.result({ signal }).catch(ignoreFailure);
    return await handle.status({ signal });
  }
  try {
    await Promise.all([showLogs(handle, view, signal), showEvents(handle, view, signal)]);
    return await handle.status({ signal });
  } finally {
    view.end();
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
