/** Bytes from the platform that are too many to be fetched again when a connection breaks off: the rest is asked for. */
import { exchange, type Wire } from "./transport.ts";

export interface Download {
  /** From `/v1/`. */
  readonly path: string;
  /** Of all of it, in bytes. */
  readonly size: number;
  /**
   * How many of them are there already.
   * @default 0
   */
  readonly from?: number;
  /** Takes the next bytes. */
  readonly take: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
}

/** Fetches bytes in their order, and goes on where an answer broke off. Gives up, with the patience of `wire`, when nothing more comes. */
export async function download(wire: Wire, { path, size, from = 0, take }: Download): Promise<void> {
  for (let at = from; at < size;) {
    const headers = at === 0 ? {} : { range: `bytes=${at}-` };
    at += await exchange(wire, { method: "GET", path, headers }, (response) => taken(response, take));
  }
}

/** How many bytes came. */
async function taken({ body }: Response, take: Download["take"]): Promise<number> {
  let came = 0;
  const reader = body?.getReader();
  const next = () =>
    reader?.read().catch((error) => {
      if (came === 0) throw error;
      return null;
    });
  for (let step = await next(); step && !step.done; step = await next()) {
    await take(step.value as Uint8Array<ArrayBuffer>);
    came += step.value!.length;
  }
  if (came === 0) throw new Error("nothing came");
  return came;
}
