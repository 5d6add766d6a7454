/**
 * One at a time for each user: calls with the same concurrency key wait for one another, those with others don't.
 *
 *     deno task berth run sdk/examples/keys.ts:importAll --input '["ann","bob","ann","ann","bob"]'
 */
import { App } from "berth";

const app = new App("keys");

/** Up to four users at once; `concurrencyPerKey` is 1 unless it is said. */
export const importOf = app.function({ scale: { max: 4 } }, async (user: string) => {
  const began = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 100)); // what must not happen twice at a time
  return { user, began, ended: Date.now() };
});

export const importAll = app.function({}, async (users: string[]) => {
  const calls = await Promise.all(users.map((user) => importOf.spawn(user, { concurrencyKey: user })));
  const runs = await Promise.all(calls.map((call) => call.result()));
  const clash = (a: typeof runs[0], b: typeof runs[0]) =>
    a.user === b.user && a.began < b.ended && b.began < a.ended;
  const clashes = runs.flatMap((a, i) => runs.slice(i + 1).filter((b) => clash(a, b)));
  return { imports: runs.length, clashes: clashes.length };
});
