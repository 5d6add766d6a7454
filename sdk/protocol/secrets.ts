/** Secrets: named sets of values that functions are given and nobody is shown. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route } from "./route.ts";

/** A secret that a function is given. `files`: each value is a file named by its key, in the folder `path` where the engine has one to give. */
export const SecretRef = z.strictObject({
  name: Name,
  as: z.enum(["env", "files"]).default("env"),
  path: z.string().max(256).regex(/^(\/[\w.-]+)+$/, "must be an absolute path such as /run/secrets")
    .optional(),
});
export type SecretRef = z.infer<typeof SecretRef>;

export const SecretKey = z.string().regex(
  /^(?!BERTH_|__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/,
  "must be a variable name of at most 128 characters that does not begin with BERTH_",
);

/** A set of values by key, each as a variable of the environment can hold it. */
const Values = z.record(z.string(), z.string()).superRefine((values, ctx) => {
  for (const [key, value] of Object.entries(values)) {
    const problem = SecretKey.safeParse(key).error?.issues[0]?.message ?? valueProblem(value);
    if (problem !== null) ctx.addIssue({ code: "custom", path: [key], message: problem });
  }
});

const valueProblem = (value: string): string | null =>
  value.includes("\0") || !value.isWellFormed() ? "must be text without NUL characters" : null;

/** What breaks the limits of a whole secret; null when nothing does. */
export function secretProblem(
  values: Readonly<Record<string, string>>,
): { field: string; message: string } | null {
  const texts = Object.values(values);
  if (texts.length === 0) return { field: "values", message: "a secret must have at least one value" };
  if (texts.length > LIMITS.secretKeys) {
    return {
      field: "values",
      message: `the secret would have ${texts.length} values, at most ${LIMITS.secretKeys} are allowed`,
    };
  }
  const bytes = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
  if (bytes <= LIMITS.secretBytes) return null;
  return {
    field: "values",
    message: `the secret would have ${bytes} bytes, at most ${LIMITS.secretBytes} are allowed`,
  };
}

/** A secret as it is shown: never with its values. */
export const Secret = z.object({
  name: Name,
  /** Counts its changes. */
  version: z.number().int(),
  /** The names of its values. */
  keys: z.array(z.string()),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type Secret = z.infer<typeof Secret>;
export const SecretPage = pageOf(Secret);

/** Values that are absent stay as they are. */
export const SetSecret = z.object({
  secret: Name,
  values: Values.default({}),
  /** Keys to remove. */
  unset: z.array(z.string()).max(LIMITS.secretKeys).default([]),
});

const BySecret = z.object({ secret: Name });

/** Whoever may deploy code may see what that code is given: so the scope `deploy` is enough to set a secret. */
export const secretRoutes = {
  listSecrets: route("GET", "/v1/secrets", "read", "Secrets, without their values", Page, SecretPage),
  getSecret: route("GET", "/v1/secrets/:secret", "read", "One secret, without its values", BySecret, Secret),
  setSecret: route(
    "POST",
    "/v1/secrets/:secret",
    "deploy",
    "Make a secret, or change values of one; containers that have the old ones are replaced",
    SetSecret,
    Secret,
  ),
  deleteSecret: route(
    "DELETE",
    "/v1/secrets/:secret",
    "deploy",
    "Delete a secret that no deployed function names, or with `force` any",
    BySecret.extend({ force: z.stringbool().optional() }),
    BySecret,
  ),
  resealSecrets: route(
    "POST",
    "/v1/sealing/reseal",
    "admin",
    "Seal the secrets of all workspaces with the newest master key, for operators",
    z.object({}),
    z.object({ resealed: z.number().int(), keyId: z.string() }),
  ),
} as const;

/** What a container is given, over the credential of its node: `GET /v1/nodes/{node}/containers/{container}/secrets`. */
export const DeliveredSecret = SecretRef.extend({ values: z.record(z.string(), z.string()) });
export type DeliveredSecret = z.infer<typeof DeliveredSecret>;
export const DeliveredSecrets = z.object({ secrets: z.array(DeliveredSecret) });
