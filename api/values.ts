/** Values that are too large to travel with their call: where to put them, where they lie, and that what stands for one does. */
import type { Context as HonoContext } from "hono";
import { PlatformError } from "../sdk/errors.ts";
import { type CreateCalls, isReference, type Json, type Routes, ValueId } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import type { Authorize, Env, Handlers } from "./serve.ts";

/** Long enough for any value on any line. */
const URL_MS = 3_600_000;

/** A reference means something only in the workspace that it was made in. */
const blobKey = (workspace: string, id: string): string => `values/${workspace}/${id}`;

export function valueHandlers({ blobs, random }: ApiDeps): Handlers<Pick<Routes, "createValue">> {
  return {
    async createValue({ size }, { workspace }) {
      const id = random.bytes(16).toHex();
      const access = { method: "PUT", size, expiresInMs: URL_MS } as const;
      return { id, ...await blobs.presign(blobKey(workspace, id), access) };
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
    const key = blobKey(workspace, id);
    if (!ValueId.safeParse(id).success || await blobs.head(key) === null) {
      throw new PlatformError("not_found", `Cannot find value "${id}" in this workspace`, { field: "id" });
    }
    return c.redirect((await blobs.presign(key, { method: "GET", expiresInMs: URL_MS })).url, 307);
  };
}

/** Refuses inputs that look like references and are none: the function would ask for them in vain. */
export async function checkReferences(
  { blobs }: ApiDeps,
  workspace: string,
  { input, inputs }: Pick<CreateCalls, "input" | "inputs">,
): Promise<void> {
  const check = async (value: Json | undefined, field: string) => {
    if (!isReference(value) || await blobs.head(blobKey(workspace, value.$blob)) !== null) return;
    const message =
      `Cannot accept \`${field}\`: it stands for a value that was not uploaded, see POST /v1/values`;
    throw new PlatformError("invalid_request", message, { field });
  };
  await check(input, "input");
  for (const [i, value] of (inputs ?? []).entries()) {
    if (isReference(value)) await check(value, `inputs.${i}`);
  }
}
