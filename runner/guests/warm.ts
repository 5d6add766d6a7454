/** What a guest does ahead of its work, so that a cold start does not pay for it. */

/** Built-in modules that bundles often import, and which take some 25 ms the first time. */
const BUILTINS = [
  () => import("node:buffer"),
  () => import("node:process"),
  () => import("node:fs"),
  () => import("node:crypto"),
];

/** Runs each code path once, while it waits. Stops early when the work is there. */
export async function warm(httpPath: string, wanted: () => boolean): Promise<void> {
  const steps = [async () => await throwaway(await connectTo(httpPath)), ...BUILTINS];
  for (const step of steps) if (!wanted()) await step();
}

/** Our own endpoint socket. */
export const connectTo = (path: string): Promise<Deno.Conn> => Deno.connect({ transport: "unix", path });

/** One request there; the answer, a 404, is as good as any. */
export async function throwaway(conn: Deno.Conn): Promise<void> {
  try {
    await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: guest\r\nconnection: close\r\n\r\n"));
    const bytes = new Uint8Array(1_024);
    while (await conn.read(bytes) !== null) { /* to the end */ }
  } finally {
    conn.close();
  }
}
