/** What the benches call. */
import { App } from "berth";

const app = new App("bench");

/** Does nothing, and proves that it was called. */
export const noop = app.function({ scale: { max: 2, scaledownWindow: "10m" } }, (n: number) => n);

/** Takes as long as it is told. */
export const nap = app.function(
  { scale: { max: 2, scaledownWindow: "10m" } },
  (ms: number) => new Promise<number>((done) => setTimeout(() => done(ms), ms)),
);

/** Wants what no machine of a bench has, so that its calls only wait. */
export const parked = app.function({ gpu: "Unobtainium" }, (n: number) => n);

export const pong = app.endpoint(
  { auth: "public", scale: { scaledownWindow: "10m" } },
  () => new Response("pong"),
);
