/**
 * Reading an exchange, quickly: the envelope by its schema, the thousands of small tuples in it by hand. `JSON.parse` has
 * already made sure that values are JSON; a schema that walks them again would be the largest cost of an exchange. Pure.
 */
import { z } from "zod";
import { PlatformError } from "../sdk/errors.ts";
import { ContainerLogRecord, EventRecord, ExchangeRequest, Failure, LogRecord } from "../sdk/protocol.ts";

const tuples = (max: number) => z.array(z.custom<unknown[]>(Array.isArray)).max(max);
const Envelope = ExchangeRequest.extend({
  reports: z.array(z.object({ lease: z.number().int(), done: tuples(10_000) })).max(10_000),
  logs: tuples(50_000).default([]),
  events: tuples(50_000).default([]),
  containerLogs: z.array(ContainerLogRecord).max(50_000).default([]),
});
const STREAMS: readonly unknown[] = LogRecord.def.items[4].options;
const EVENT_KINDS: readonly unknown[] = EventRecord.def.items[4].options;

/** An exchange from the object that its body holds; throws `invalid_request` naming the field. */
export function parseExchange(body: unknown): ExchangeRequest {
  const envelope = Envelope.parse(body);
  for (const [i, { done }] of envelope.reports.entries()) {
    for (const [k, report] of done.entries()) require(isReport(report), `reports.${i}.done.${k}`);
  }
  for (const [i, log] of envelope.logs.entries()) {
    require(isRecord(log) && STREAMS.includes(log[4]) && typeof log[5] === "string", `logs.${i}`);
  }
  for (const [i, event] of envelope.events.entries()) {
    require(isRecord(event) && EVENT_KINDS.includes(event[4]) && isObject(event[5]), `events.${i}`);
  }
  return envelope as unknown as ExchangeRequest;
}

function isReport([index, outcome, value, startedAt, endedAt, cpuUs]: unknown[]): boolean {
  return isCount(index) && isCount(outcome) && outcome <= 3 && isCount(startedAt) && isCount(endedAt) &&
    isCount(cpuUs) &&
    (outcome !== 1 || Failure.safeParse(value).success);
}

/** Lease, index, number and time of a log line or event. */
const isRecord = (record: unknown[]): boolean => record.length === 6 && record.slice(0, 4).every(isCount);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isObject = (value: unknown): boolean =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function require(holds: boolean, field: string): void {
  if (!holds) {
    throw new PlatformError("invalid_request", `Cannot read the exchange: \`${field}\` is malformed`, {
      field,
    });
  }
}
