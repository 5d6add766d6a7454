/** The secrets of one container, in the shapes in which it gets them. Of two values with one key the later is taken. Pure. */
import type { DeliveredSecret } from "../sdk/protocol.ts";
import type { LoadFrame } from "./frames.ts";

/** Variables of those that come as such. */
export const secretEnv = (secrets: readonly DeliveredSecret[]): Record<string, string> =>
  Object.assign({}, ...secrets.filter((secret) => secret.as === "env").map(({ values }) => values));

/** All values, for the `load` frame; absent where there are none. */
export function secretValues(
  secrets: readonly DeliveredSecret[],
  folderOf: (secret: DeliveredSecret) => string,
): LoadFrame["secrets"] {
  if (secrets.length === 0) return undefined;
  return Object.fromEntries(secrets.flatMap((secret) =>
    Object.entries(secret.values).map(([key, value]) => [
      key,
      secret.as === "env" ? { value } : { value, file: `${folderOf(secret)}/${key}` },
    ])
  ));
}
