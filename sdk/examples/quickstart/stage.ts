/** What the steps of the quickstart share: a platform with the digits app on it, and ways to look at it. */
import { Client } from "../../client.ts";
import type { Fetch } from "../../ports.ts";
import type { Container } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import type { Platform } from "./platform.ts";
import type { Story } from "./story.ts";

export const APP = "digits";
const LOOK_AGAIN_MS = 50;

export interface Stage {
  readonly story: Story;
  readonly platform: Platform;
  readonly client: Client;
  readonly fetch: Fetch;
}

export function stageOf(story: Story, platform: Platform, fetch: Fetch): Stage {
  return { story, platform, client: new Client({ url: platform.url, key: platform.key }), fetch };
}

/** Looks until there is something to see, and says what is missing when there never is. */
export async function until<T>(
  { story: { clock } }: Stage,
  { what, withinMs }: { what: string; withinMs: number },
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = clock.now() + withinMs;
  while (true) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (clock.now() > deadline) throw new Error(`Cannot see ${what} after ${withinMs / 1_000} s of waiting`);
    await clock.sleep(LOOK_AGAIN_MS);
  }
}

/** Containers that have not ended, of the app or of one of its functions. */
export async function liveContainers({ client }: Stage, name?: string): Promise<Container[]> {
  const { items } = await client.send(routes.listContainers, {
    app: APP,
    live: "true",
    limit: 500,
    ...(name === undefined ? {} : { function: name }),
  });
  return items;
}

/** Ends the story with what should have been. */
export function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
