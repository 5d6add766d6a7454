/** What makes the host of a URL lead to a container: WebSockets are opened by Deno, which can't be told to begin by asking a relay. */
import { parseAddress } from "../../sdk/container_address.ts";
import { close, splice } from "../../sdk/connection.ts";
import { dialContainer } from "./dial.ts";
import { UpstreamError } from "./upstream_error.ts";

export interface Passage {
  readonly proxy: Deno.Proxy;
  close(): void;
}

export async function passageTo(text: string): Promise<Passage> {
  const address = parseAddress(text);
  return address.transport === "relay" ? await socketTo(text) : { proxy: address, close: () => {} };
}

/** A socket for one connection, in a folder that nobody else can open, and a container behind it. */
async function socketTo(address: string): Promise<Passage> {
  const container = await dialContainer(address).catch((cause) => {
    throw new UpstreamError("unreachable", { repeatable: true, cause });
  });
  const folder = await Deno.makeTempDir({ prefix: "berth-passage-" });
  const path = `${folder}/socket`;
  const listener = Deno.listen({ transport: "unix", path });
  const pass = async () => {
    try {
      splice(await listener.accept(), container);
    } catch {
      close(container); // nobody came
    } finally {
      close(listener);
      await Deno.remove(folder, { recursive: true });
    }
  };
  pass();
  return { proxy: { transport: "unix", path }, close: () => close(listener) };
}
