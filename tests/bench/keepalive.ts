/**
 * Bench k: cold starts at equal idle hours, beside a fixed window of ten minutes and the hybrid histogram with a range of an hour, on
 * made-up traffic. On a published trace, through an outside scorer: keepalive_driver.ts.
 */
import { fixed, hybrid } from "./keepalive_baselines.ts";
import { madeUpCase } from "./keepalive_load.ts";
import { berthPolicy } from "./keepalive_policy.ts";
import { judge, type KeepCase, type Verdict } from "./keepalive_referee.ts";
import type { Finding } from "./report.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

const MINUTE_MS = 60_000;
const BASELINES = [
  { name: "fixed 10 min", policy: () => fixed(10 * MINUTE_MS) },
  { name: "hybrid histogram 1 h", policy: () => hybrid(60 * MINUTE_MS) },
];

export async function keepalive({ scaled }: Pick<World, "scaled">): Promise<Finding> {
  const kase = madeUpCase(1, scaled(50) / 50);
  const baselines = BASELINES.map(({ policy }) => judge(kase, policy()));
  const ours = baselines.map(({ idleHours }) => atIdleHours(kase, idleHours));
  let decisions = 0;
  const counted = berthPolicy({ coldWorthMs: 22 * MINUTE_MS, loadMs: kase.loadMs }, () => decisions++);
  const elapsed = await took(() => Promise.resolve(judge(kase, counted)));
  const us = 1_000 * elapsed / decisions;
  return {
    bench: "k keep-alive",
    what: `cold of ${kase.requests.length.toLocaleString("en-US")} requests at equal idle hours`,
    value: `${ours.map(cold).join(", ")}; ${us.toFixed(0)} µs a decision`,
    baseline: baselines.map((one, i) => `${cold(one)} (${BASELINES[i]!.name})`).join(", "),
    target: "less than each",
    ok: ours.every((one, i) => one.coldPercent < baselines[i]!.coldPercent),
    figures: Object.fromEntries([
      ["decisionUs", us],
      ...baselines.flatMap(({ coldPercent, idleHours }, i) => [
        [`idleHours${i}`, idleHours],
        [`baselinePercent${i}`, coldPercent],
        [`percent${i}`, ours[i]!.coldPercent],
      ]),
    ]),
  };
}

const cold = ({ coldPercent }: Verdict): string => `${coldPercent.toFixed(1)} %`;

/** What our policy makes of about as many idle hours: the knob is turned until they are so many, or a little fewer. */
function atIdleHours(kase: KeepCase, idleHours: number): Verdict {
  const verdict = (coldWorthMs: number) => judge(kase, berthPolicy({ coldWorthMs, loadMs: kase.loadMs }));
  let low = MINUTE_MS, high = 48 * 60 * MINUTE_MS, best = verdict(low);
  for (let step = 0; step < 7; step++) {
    const middle = Math.sqrt(low * high), found = verdict(middle);
    if (found.idleHours > idleHours) {
      high = middle;
    } else {
      low = middle;
      best = found;
    }
  }
  return best;
}
