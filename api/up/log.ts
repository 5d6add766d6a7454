/** The log of a machine: JSON lines for machines, one short line an event for a person at a terminal. */
import { type Clock, type Log, realLog } from "../../sdk/ports.ts";
import type { Output } from "../../sdk/cli/output.ts";

/** Where events go. */
export function upLog(output: Output, clock: Clock): Log {
  if (output.json || !output.live) return realLog;
  return (event, fields = {}) => {
    const at = new Date(clock.now()).toISOString().slice(11, 19);
    const said = Object.entries(fields).map(([name, value]) => `${name}=${short(value)}`).join(" ");
    output.note(output.tint("dim", `${at} ${event} ${said}`));
  };
}

const short = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value);

/** Passes on the log lines of a child process; `onText` gets what is no log line, such as an error that ended it. */
export async function relayLog(
  stderr: ReadableStream<Uint8Array>,
  log: Log,
  onText: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stderr) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) relayLine(line, log, onText);
  }
  if (rest !== "") relayLine(rest, log, onText);
}

function relayLine(line: string, log: Log, onText: (line: string) => void): void {
  try {
    const { at: _at, event, ...fields } = JSON.parse(line);
    log(String(event), fields);
  } catch {
    onText(line);
  }
}
