/** Credentials of a registry in a secret: the values of its keys `username` and `password`. Pure. */
import { PlatformError } from "../../sdk/errors.ts";
import type { RegistryCredential } from "../../sdk/protocol.ts";

export function credentialIn(values: Readonly<Record<string, string>>, secret: string): RegistryCredential {
  const { username, password } = values;
  if (username !== undefined && password !== undefined) return { username, password };
  const lacking = username === undefined ? "username" : "password";
  const message =
    `Cannot use secret "${secret}" for a registry: it has no value "${lacking}", set it with \`berth secret set ${secret} ${lacking}\``;
  throw new PlatformError("conflict", message);
}
