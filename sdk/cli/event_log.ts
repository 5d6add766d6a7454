/** The log of a process that a command runs: JSON lines for machines, one short line an event for a person at a terminal. */
import { type Clock, type Log, realLog } from "../ports.ts";
import type { Output } from "./output.ts";

/** Where events go. */
export function eventLog(output: Output, clock: Clock): Log {
  if (output.json || !output.live) return realLog;
  return (event, fields = {}) => {
    const at = new Date(clock.now()).toISOString().slice(11, 19);
    const said = Object.entries(fields).map(([name, value]) => `${name}=${short(value)}`).join(" ");
    output.note(output.tint("dim", `${at} ${event} ${said}`));
  };
}

const short = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value);
