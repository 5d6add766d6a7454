/** A new version of an app: other needs, functions that come and go. */
import { type Task } from "./task.ts";
import { crowdedOf, drawFunction } from "../functions.ts";

export const redeploy: Task = {
  name: "redeploy",
  async run({ client, dice, apps, hosts }) {
    const app = dice.pick(apps);
    const kept = dice.some(app.functions, 0.8);
    const functions = kept.map((spec) => dice.chance(0.4) ? drawFunction(dice, spec.name, hosts) : spec);
    for (const { name } of app.functions) {
      if (!kept.some((spec) => spec.name === name)) app.dropped.add(name!);
    }
    for (const name of crowdedOf(functions)) app.crowded.add(name);
    app.functions = functions;
    await client.deploy(app.name, functions);
  },
};
