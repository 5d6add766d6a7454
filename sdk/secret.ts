/** `Secret`: names a set of values that lies sealed with the platform, for a function that is given them. Pure. */
import type { z } from "zod";
import type { SecretRef } from "./protocol/secrets.ts";

/** Choices of {@link Secret.fromName}. */
export interface SecretOptions {
  /**
   * Gives each value as a file in this folder, named by its key, instead of as a variable. Where containers share the machine's files
   * the folder is another: `ctx.secretFile(KEY)` always says where.
   */
  readonly files?: string;
}

/**
 * A set of values that was made with `berth secret set`. Functions that name it find them in the environment, or in files, and by
 * `ctx.secret(KEY)`.
 *
 * @example
 * ```ts
 * import { App, Secret } from "berth";
 *
 * const app = new App("models");
 * const secrets = [Secret.fromName("hf"), Secret.fromName("db", { files: "/run/secrets" })];
 * export const fetchModel = app.function({ secrets, permissions: { net: true } }, async (name: string, ctx) => {
 *   const headers = { authorization: `Bearer ${ctx.secret("HF_TOKEN")}` };
 *   return (await fetch(`https://huggingface.co/api/models/${name}`, { headers })).status;
 * });
 * ```
 */
export class Secret {
  /** As it is deployed. */
  readonly ref: z.input<typeof SecretRef>;

  private constructor(ref: z.input<typeof SecretRef>) {
    this.ref = ref;
  }

  /** The secret of this name in the workspace that the function is deployed to. */
  static fromName(name: string, { files }: SecretOptions = {}): Secret {
    if (typeof name !== "string" || name === "") {
      throw new TypeError('Cannot name a secret: expected a text such as Secret.fromName("hf")');
    }
    return new Secret(files === undefined ? { name, as: "env" } : { name, as: "files", path: files });
  }
}

/** Values that a container was given, by key. */
export type GivenSecrets = Pick<ReadonlyMap<string, GivenSecret>, "get" | "keys">;
export interface GivenSecret {
  readonly value: string;
  /** Where it is, of a secret that came as files. */
  readonly file?: string;
}

export const NO_SECRETS: GivenSecrets = new Map();

/** The value of a key. @throws TypeError that names the keys there are, never a value */
export const secretValue = (given: GivenSecrets, key: string): string => found(given, key).value;

/** The file of a key, where its secret came as files. */
export function secretFile(given: GivenSecrets, key: string): string {
  const { file } = found(given, key);
  if (file !== undefined) return file;
  throw new TypeError(
    `Cannot find a file of secret value "${key}": its secret comes as variables, name it with Secret.fromName(NAME, { files: "/run/secrets" })`,
  );
}

function found(given: GivenSecrets, key: string): GivenSecret {
  const value = given.get(key);
  if (value !== undefined) return value;
  const keys = [...given.keys()];
  const there = keys.length === 0
    ? "this function is given no secrets"
    : `the secrets of this function have ${keys.join(", ")}`;
  throw new TypeError(`Cannot find secret value "${key}": ${there}`);
}
