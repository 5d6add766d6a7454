/** A door to something that listens on the loopback address only, at another address of this machine. */
import { freePort } from "../postgres.ts";

export interface Forward {
  /** `ADDRESS:PORT` */
  readonly host: string;
  stop(): void;
}

/** @param to `ADDRESS:PORT` */
export function startForward(hostname: string, to: string): Forward {
  const [target, port] = to.split(":") as [string, string];
  const listener = Deno.listen({ hostname, port: freePort() });
  const open = new Set<Deno.Conn>();
  const join = async (near: Deno.Conn) => {
    open.add(near);
    const far = await Deno.connect({ hostname: target, port: Number(port) }).catch(() => null);
    if (far === null) return near.close();
    open.add(far);
    // Either end may break off at any time.
    await Promise.allSettled([near.readable.pipeTo(far.writable), far.readable.pipeTo(near.writable)]);
    for (const conn of [near, far]) open.delete(conn);
  };
  const accepting = (async () => {
    for await (const conn of listener) join(conn);
  })();
  return {
    host: `${hostname}:${(listener.addr as Deno.NetAddr).port}`,
    stop: () => {
      accepting.catch(() => {});
      listener.close();
      for (const conn of open) {
        try {
          conn.close();
        } catch { /* it was */ }
      }
    },
  };
}
