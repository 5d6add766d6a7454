/** What the bench of Python calls: the same as app.ts has in TypeScript. */
import { App } from "berth";

const app = new App("bench-python");

/** Does nothing, and proves that it was called. */
export const noop = app.python<number, number>("noop.py:noop", {
  scale: { max: 2, scaledownWindow: "10m" },
});
