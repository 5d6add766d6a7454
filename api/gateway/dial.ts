/** Connects to containers: on this machine directly, on another by way of its runner (see runner/relay.ts). */
import { close, writeAll } from "../../sdk/connection.ts";
import { parseAddress, type RelayAddress } from "../../sdk/container_address.ts";
import { realClock } from "../../sdk/ports.ts";
import { formatKnock, readLine, WELCOME } from "../../sdk/relay.ts";

/** A machine that is gone does not even refuse. */
const CONNECT_MS = 5_000;

export async function dialContainer(text: string): Promise<Deno.Conn> {
  const address = parseAddress(text);
  if (address.transport === "unix") return await Deno.connect(address);
  const done = new AbortController(), late = new AbortController();
  realClock.sleep(CONNECT_MS, done.signal).then(() => done.signal.aborted || late.abort());
  try {
    const { hostname, port } = address;
    const connection = await Deno.connect({ hostname, port, signal: late.signal });
    connection.setNoDelay();
    if (address.transport === "relay") await knock(connection, address, late.signal);
    return connection;
  } finally {
    done.abort();
  }
}

/** Has the runner connect it with the container. */
async function knock(connection: Deno.Conn, address: RelayAddress, late: AbortSignal): Promise<void> {
  late.addEventListener("abort", () => close(connection));
  try {
    await writeAll(connection, new TextEncoder().encode(formatKnock(address)));
    if (await readLine(connection) === WELCOME) return;
  } catch {
    // It has gone.
  }
  close(connection);
  throw new Error(`The runner at ${address.hostname}:${address.port} does not let us through`);
}
