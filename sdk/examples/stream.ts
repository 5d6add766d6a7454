/**
 * A generator: each value it yields is an event that callers get at once, while the function goes on.
 *
 *     deno task berth run sdk/examples/stream.ts --input '{"from":5}'
 */
import { App } from "berth";

const app = new App("stream");

export const countdown = app.function({}, async function* ({ from }: { from: number }) {
  for (let n = from; n > 0; n--) {
    yield n;
    await new Promise((done) => setTimeout(done, 200));
  }
  return "lift-off";
});
