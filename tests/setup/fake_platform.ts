/** Answers of a platform that is not there, for tests of the command line. */
import { type Answer, json, sse } from "./shell.ts";

export const ID = "call_000000001z_0";
export const AT = "2026-01-01T00:00:00.000Z";
export const ended = (state: string, more: Record<string, unknown> = {}) => ({
  id: ID,
  app: "digits",
  function: "train",
  deployment: "dep_1",
  state,
  attempt: 1,
  createdAt: AT,
  startedAt: AT,
  endedAt: "2026-01-01T00:00:02.500Z",
  priority: 50,
  tags: {},
  usage: { gpuSeconds: 0.5, cpuSeconds: 0.1, wallSeconds: 2 },
  ...more,
});
export const succeeded = ended("succeeded", { result: { loss: 0.5 } });
export const failed = ended("failed", {
  failure: {
    kind: "user_error",
    message: "too far",
    stack: "Error: too far\n    at app.ts:3:9",
    retryable: true,
  },
});

/** A platform with one function, whose only call ends as `call`. */
export const platform = (call: Record<string, unknown>): Answer => ({ method, path }) => {
  if (method === "POST") {
    return json({ batch: "batch_000000001z", calls: [{ id: ID, state: "queued" }] }, 202);
  }
  if (path.includes("/results")) {
    return new Response(`${JSON.stringify([0, call.state, call.result ?? null, call.failure ?? null])}\n`);
  }
  if (path.endsWith("/logs")) {
    return sse(["item", { seq: 1, at: AT, stream: "stdout", text: "hello\n", attempt: 1 }], ["end", call]);
  }
  if (path.endsWith("/events")) {
    const report = { seq: 1, at: AT, kind: "report", attempt: 1, step: 1, loss: 0.123456 };
    return sse(["item", report], ["item", {
      seq: 2,
      at: AT,
      kind: "progress",
      attempt: 1,
      done: 1,
      total: 4,
    }], ["end", call]);
  }
  return json(call);
};
export const nobody: Answer = () => {
  throw new TypeError("connection refused");
};
export const refuse = (code: string, message: string, status: number): Answer => () =>
  json({ error: { code, message, requestId: "req_1" } }, status);
