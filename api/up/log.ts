/** The log of a child process, passed on. */
import type { Log } from "../../sdk/ports.ts";

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
