/** Values on their way: small ones travel with their call, larger ones by way of a blob. */
import { PlatformError } from "./errors.ts";
import { LIMITS } from "./protocol/limits.ts";
import { isReference, isReferenceText, referenceText } from "./protocol/reference.ts";
import type { CreatedValue } from "./protocol/values.ts";
import { ask, exchange, type Wire } from "./transport.ts";

/** Bytes that one UTF-16 unit may take. */
const UTF8_BYTES_MAX = 3;

/** The JSON text that travels for this one: itself, or a reference to where it lies from now on. */
export function outgoing(wire: Wire, text: string, label: string): string | Promise<string> {
  if (text.length * UTF8_BYTES_MAX <= LIMITS.inputBytes && !isReferenceText(text)) return text;
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= LIMITS.inputBytes && !isReferenceText(text)) return text;
  const { values, signed } = wire.transport;
  const most = values === undefined && signed === undefined ? LIMITS.inputBytes : LIMITS.valueBytes;
  if (bytes.length <= most) return save(wire, bytes).then(referenceText);
  const message = `Cannot send ${label}: it has ${bytes.length} bytes of at most ${most}`;
  throw new PlatformError("too_large", message);
}

/** The value that came, or that a reference which came stands for. */
export function incoming(wire: Wire, value: unknown, signal?: AbortSignal): unknown {
  return isReference(value) ? load(wire, value.$blob, signal) : value;
}

async function save(wire: Wire, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const { values, signed } = wire.transport;
  if (values !== undefined) return await values.saveValue(bytes);
  const body = JSON.stringify({ size: bytes.length });
  const asking = { method: "POST", path: "/v1/values", body, repeatable: true } as const;
  const { id, url, headers } = await ask<CreatedValue>(wire, asking);
  try {
    const request = { method: "PUT", path: url, headers, body: bytes } as const;
    await exchange({ ...wire, transport: signed! }, request, (response) => response.body?.cancel());
  } catch (error) {
    // An earlier try has done it, of which nothing was heard.
    if (!(error instanceof PlatformError && error.code === "precondition_failed")) throw error;
  }
  return id;
}

async function load(wire: Wire, id: string, signal?: AbortSignal): Promise<unknown> {
  const { values } = wire.transport;
  if (values !== undefined) return JSON.parse(new TextDecoder().decode(await values.loadValue(id)));
  return await ask(wire, { method: "GET", path: `/v1/values/${id}`, signal });
}
