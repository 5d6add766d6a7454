/** A request to an endpoint, which may wait for a container to start. */
import { ORIGIN } from "../platform.ts";
import { keyOf } from "../world.ts";
import { type Task } from "./task.ts";

/** What a gateway may answer: it is not deployed (any more), too many wait, no container came, it died, it was late. */
const REFUSALS = [404, 429, 502, 503, 504];

export const request: Task = {
  name: "request",
  async run({ client, dice, apps }) {
    const served = apps.flatMap(({ name, functions }) =>
      functions.filter(({ methods }) => methods?.some(({ kind }) => kind === "endpoint"))
        .map((spec) => `${name}/${spec.name}`)
    );
    if (served.length === 0) return;
    const url = `${ORIGIN}/e/${dice.pick(served)}?ms=${Math.round(dice.spread(1, 1_000))}`;
    const headers = { authorization: `Bearer ${keyOf(client.workspace)}` };
    const response = await client.fetch(url, { headers }).catch(() => null); // the network lost it
    if (response === null || REFUSALS.includes(response.status)) return;
    const text = await response.text();
    if (response.status !== 200 || !text.startsWith("ctr_")) {
      throw new Error(`${url} answered ${response.status} ${text}`);
    }
  },
};
