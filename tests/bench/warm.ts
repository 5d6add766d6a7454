/** (d) A warm endpoint: what the gateway adds to a request sent straight to the guest's socket. */
import { type Finding, median, ms } from "./report.ts";
import { times } from "./times.ts";
import type { World } from "./world.ts";

const TARGET_MS = 1;
const ROUNDS = 5;

export async function warm(world: World): Promise<Finding> {
  const { fetch, platform, scaled } = world;
  const url = new URL(`${platform.url}/e/bench/pong`);
  await (await fetch(url)).text();
  using through = new RawHttp(await Deno.connect({ hostname: url.hostname, port: Number(url.port) }), url);
  using direct = new RawHttp(await Deno.connect({ transport: "unix", path: await guestSocket(world) }), url);

  // In turns, so that a busy moment of the machine meets both.
  const n = scaled(400);
  const gateway: number[] = [];
  const guest: number[] = [];
  await times(world, n, () => through.get());
  await times(world, n, () => direct.get());
  for (let round = 0; round < ROUNDS; round++) {
    gateway.push(...await times(world, n, () => through.get()));
    guest.push(...await times(world, n, () => direct.get()));
  }
  const added = median(gateway) - median(guest);
  return {
    bench: "d warm",
    what: "what the gateway adds to a warm request, p50",
    value: `${ms(added)} (${ms(median(gateway))} in all)`,
    baseline: `${ms(median(guest))}: direct to the guest's socket`,
    target: `≤ ${TARGET_MS} ms`,
    ok: added <= TARGET_MS,
    figures: { added, gateway: median(gateway), direct: median(guest) },
  };
}

/** Where the guest listens: known to gateways only, so read from their table. */
async function guestSocket({ sql }: World): Promise<string> {
  const [row] = await sql<{ address: string }[]>`
    select container.address
    from container
      join function on function.id = container.function_id
    where function.name = 'pong' and container.observed = 'ready' and container.address is not null
    limit 1`;
  if (row === undefined) throw new Error("Cannot measure warm endpoints: no container of pong is ready");
  return row.address;
}

/** HTTP/1.1 on one connection, with as little as possible between the clock and the bytes. */
class RawHttp {
  readonly #connection: Deno.Conn;
  readonly #request: Uint8Array;
  readonly #buffer = new Uint8Array(16_384);

  constructor(connection: Deno.Conn, url: URL) {
    this.#connection = connection;
    // The last header is what the gateway says to the guest; from others it takes none.
    const head = [`GET ${url.pathname} HTTP/1.1`, `host: ${url.host}`, "berth-endpoint: pong", "", ""].join(
      "\r\n",
    );
    this.#request = new TextEncoder().encode(head);
  }

  async get(): Promise<void> {
    await this.#connection.write(this.#request);
    let text = "";
    while (!isWhole(text)) {
      const read = await this.#connection.read(this.#buffer);
      if (read === null) {
        throw new Error(`Cannot measure warm endpoints: the connection ended after ${JSON.stringify(text)}`);
      }
      text += new TextDecoder().decode(this.#buffer.subarray(0, read));
    }
    if (!text.startsWith("HTTP/1.1 200") || !text.includes("pong")) {
      throw new Error(`Cannot measure warm endpoints: the answer was ${text}`);
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

/** True once the head and as many bytes as it announces, or the last chunk, are there. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /^content-length: (\d+)/im.exec(text.slice(0, end));
  return length === null ? text.endsWith("0\r\n\r\n") : text.length >= end + 4 + Number(length[1]);
}
