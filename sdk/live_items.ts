/** Server-sent items of the platform, from the first on, and new ones until what they are about has ended. */
import { follow } from "./follow.ts";
import { EventReader } from "./lines.ts";
import type { Wire } from "./transport.ts";

/** The items at a path, those after `after` if that is given. Survives lost connections: it goes on after the last item that came. */
export async function* liveItems<Item>(
  wire: Wire,
  path: string,
  { signal, after }: { readonly signal?: AbortSignal; readonly after?: number } = {},
): AsyncGenerator<Item> {
  let last = after === undefined ? undefined : String(after);
  const connect = () => {
    const reader = new EventReader();
    const headers = {
      accept: "text/event-stream",
      ...(last === undefined ? {} : { "last-event-id": last }),
    };
    return {
      request: { method: "GET", path, headers } as const,
      decode: (lines: string) => reader.push(lines),
    };
  };
  for await (const events of follow(wire, connect, signal)) {
    for (const { id, event, data } of events) {
      if (event === "end") return;
      last = id ?? last;
      yield JSON.parse(data);
    }
  }
}
