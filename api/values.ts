/** Values that are too large to travel with their call: where to put them, where they lie, and that what stands for one does. */
import type { Context as HonoContext } from "hono";
import { valueKey } from "../scheduler/store/values.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type CreateCalls, isReference, type Routes, ValueId } from "../sdk/protocol.ts";
import { announce, URL_MS } from "./announce.ts";
import type { ApiDeps } from "./app.ts";
import type { Authorize, Env, Handlers } from "./serve.ts";

export function valueHandlers(deps: ApiDeps): Handlers<Pick<Routes, "createValue">> {
  return {
    async createValue({ size }, { workspace }) {
      const id = deps.random.bytes(16).toHex();
      return { id, ...await announce(deps, { key: valueKey(workspace, id), size }) };
    },
  };
}

/** `GET /v1/values/{id}`: the way to its JSON text. */
export function getValueRoute(
  { blobs }: ApiDeps,
  authorize: Authorize,
): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const { workspace } = await authorize(c, "read");
    const id = c.req.param("id")!;
    const key = valueKey(workspace, id);
    if (!ValueId.safeParse(id).success || await blobs.head(key) === null) {
      throw new PlatformError("not_found", `Cannot find value "${id}" in this workspace`, { field: "id" });
    }
    return c.redirect((await blobs.presign(key, { method: "GET", expiresInMs: URL_MS })).url, 307);
  };
}

/**
 * The values that inputs stand for, by their keys. Inputs that look like references and are none are refused: the function would ask
 * for them in vain.
 */
export async function valuesOf(
  { blobs }: ApiDeps,
  workspace: string,
  { input, inputs }: Pick<CreateCalls, "input" | "inputs">,
): Promise<string[]> {
  const keys = new Set<string>();
  for (const [i, value] of (inputs ?? [input]).entries()) {
    if (!isReference(value)) continue;
    const key = valueKey(workspace, value.$blob);
    if (!keys.has(key) && await blobs.head(key) === null) {
      throw notUploaded(inputs === undefined ? "input" : `inputs.${i}`);
    }
    keys.add(key);
  }
  return [...keys];
}

export function notUploaded(field: string): PlatformError {
  const message =
    `Cannot accept \`${field}\`: it stands for a value that was not uploaded, see POST /v1/values`;
  return new PlatformError("invalid_request", message, { field });
}
