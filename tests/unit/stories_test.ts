/** Stories: what the scheduler does, as text that a person reviews. Each line is an act of a plan, or what came of it. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseGpu } from "../../sdk/gpu.ts";
import { Pretend } from "../setup/pretend.ts";
import { fn, gpus, node } from "../setup/snapshots.ts";

function story(
  title: string,
  { world, tell, reads }: { world: Pretend; tell: (world: Pretend) => void; reads: string },
) {
  it(title, () => {
    tell(world);
    assert.deepEqual(world.broken, []);
    assert.equal(world.story.join("\n"), reads.trim().replace(/^ +/gm, ""));
  });
}

const named = (id: number, name: string, gpu: string | string[] = []) =>
  fn({ id, name, need: { gpu: gpu.length === 0 ? [] : parseGpu(gpu) } });

describe("plan(), told as stories", () => {
  story("a function comes from zero and goes back", {
    world: new Pretend([node()]),
    tell: (world) => {
      world.deploy(fn({ scale: { scaledownWindowMs: 5_000 } }));
      world.call(1, 2);
      world.run(10_000);
    },
    reads: `
      0.0s work waits: a container is starting
      0.0s start c1 of work on node_1: 2 calls wait
      0.0s start c2 of work on node_1: 2 calls wait
      5.7s drain c1: idle
      5.7s drain c2: idle
      5.8s c1 exited
      5.8s c2 exited`,
  });

  story("two functions share one GPU", {
    world: new Pretend([node({ gpus: gpus("H100", 1000) })]),
    tell: (world) => {
      world.deploy(named(1, "serve", "H100"), { callMs: 500 });
      world.deploy(named(2, "train", "H100"), { callMs: 3_000 });
      world.call(1, 1);
      world.run(2_000);
      world.call(2, 1);
      world.run(1_000);
      world.call(1, 1);
      world.run(6_000);
    },
    reads: `
      0.0s serve waits: a container is starting
      0.0s start c1 of serve on node_1 gpu 0: 1 call waits
      2.0s train waits: another container gives way to it
      2.0s drain c1: gives way to demo/train
      2.1s c1 exited
      2.1s train waits: a container is starting
      2.1s start c2 of train on node_1 gpu 0: 1 call waits
      3.0s serve waits: needs 1 × H100; largest free node has 0
      5.2s serve waits: another container gives way to it
      5.2s drain c2: gives way to demo/serve
      5.3s c2 exited
      5.3s serve waits: a container is starting
      5.3s start c3 of serve on node_1 gpu 0: 1 call waits`,
  });

  story("a module throws on import, until it is deployed anew", {
    world: new Pretend([node()]),
    tell: (world) => {
      world.deploy(named(1, "typo"), { broken: "TypeError: x is not a function" });
      world.call(1, 2);
      world.run(9_000);
      world.call(1, 1);
      world.run(8_000);
      world.deploy({ ...named(1, "typo"), deployment: "dep_3" });
      world.call(1, 1);
      world.run(3_000);
    },
    reads: `
      0.0s typo waits: a container is starting
      0.0s start c1 of typo on node_1: 2 calls wait
      0.0s start c2 of typo on node_1: 2 calls wait
      0.1s c1 failed to start: TypeError: x is not a function
      0.1s c2 failed to start: TypeError: x is not a function
      0.1s typo waits: the last start failed: TypeError: x is not a function; next try at 2026-01-01T12:00:01.100Z
      1.1s typo waits: the last start failed: TypeError: x is not a function; trying again
      1.1s start c3 of typo on node_1: 2 calls wait
      1.2s c3 failed to start: TypeError: x is not a function
      1.2s typo waits: the last 2 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:03.200Z
      3.2s typo waits: the last 2 starts failed: TypeError: x is not a function; trying again
      3.2s start c4 of typo on node_1: 2 calls wait
      3.3s c4 failed to start: TypeError: x is not a function
      3.3s typo waits: the last 3 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:07.300Z
      3.3s fail 2 of typo: TypeError: x is not a function
      9.0s typo waits: the last 3 starts failed: TypeError: x is not a function; trying again
      9.0s start c5 of typo on node_1: 1 call waits
      9.1s c5 failed to start: TypeError: x is not a function
      9.1s typo waits: the last 4 starts failed: TypeError: x is not a function; next try at 2026-01-01T12:00:17.100Z
      9.1s fail 1 of typo: TypeError: x is not a function
      17.0s typo waits: a container is starting
      17.0s start c6 of typo on node_1: 1 call waits`,
  });

  story("a deployment takes over: what runs ends where it is", {
    world: new Pretend([node()]),
    tell: (world) => {
      world.deploy(named(1, "digits"), { callMs: 2_000 });
      world.call(1, 2);
      world.run(1_000);
      world.deploy({ ...named(1, "digits"), deployment: "dep_3" }, { callMs: 2_000 });
      world.call(1, 1);
      world.run(6_000);
    },
    reads: `
      0.0s digits waits: a container is starting
      0.0s start c1 of digits on node_1: 2 calls wait
      0.0s start c2 of digits on node_1: 2 calls wait
      1.0s digits waits: a container is starting
      1.0s drain c1: a newer deployment took over
      1.0s drain c2: a newer deployment took over
      1.0s start c3 of digits on node_1: 1 call waits
      2.1s c1 exited
      2.1s c2 exited`,
  });

  story("GPUs are wanted by model, count and share", {
    world: new Pretend([
      node({ gpus: gpus("H100", 1000, 1000) }),
      node({ id: "node_2", gpus: gpus("L4", 1000) }),
    ]),
    tell: (world) => {
      world.deploy(named(1, "big", "H100:4"));
      world.deploy({ ...named(2, "half", "L4:0.5") }, { callMs: 4_000 });
      world.deploy(named(3, "either", ["A100", "H100"]));
      world.call(1, 1);
      world.call(2, 4);
      world.call(3, 1);
      world.run(6_000);
    },
    reads: `
      0.0s big waits: needs 4 × H100; largest node has 2
      0.0s half waits: a container is starting
      0.0s either waits: a container is starting
      0.0s start c1 of half on node_2 gpu 0:0.5: 4 calls wait
      0.0s start c2 of either on node_1 gpu 0: 1 call waits
      0.0s start c3 of half on node_2 gpu 0:0.5: 4 calls wait
      0.1s half waits: 2 containers are busy; for another: needs 0.5 × L4; most free of one GPU is 0`,
  });

  story("a bulk of short calls gets what empties the queue, a bulk of long calls gets max", {
    world: new Pretend([node()]),
    tell: (world) => {
      world.deploy(named(1, "short"), { callMs: 5 });
      world.deploy(fn({ id: 2, name: "long", scale: { max: 4 } }), { callMs: 2_000 });
      world.call(1, 500);
      world.call(2, 20);
      world.run(12_000, 10);
    },
    reads: `
      0.0s short waits: a container is starting
      0.0s long waits: a container is starting
      0.0s start c1 of short on node_1: 500 calls wait
      0.0s start c2 of long on node_1: 20 calls wait
      0.0s start c3 of short on node_1: 500 calls wait
      0.0s start c4 of long on node_1: 20 calls wait
      0.1s short waits: a container is starting
      0.1s start c5 of short on node_1: 496 calls wait
      0.3s long waits: a container is starting
      0.3s start c6 of long on node_1: 18 calls wait
      0.3s start c7 of long on node_1: 18 calls wait
      1.0s short waits: 3 containers are busy
      1.0s long waits: 4 containers are busy and scale.max is 4`,
  });

  story("nobody is shut out by a long queue", {
    world: new Pretend([node({ cpuMilli: 300, cpuMilliFree: 300 })]),
    tell: (world) => {
      world.deploy(named(1, "many"), { callMs: 2_000 });
      world.deploy(named(2, "one"), { callMs: 500 });
      world.call(1, 6);
      world.run(200);
      world.call(2, 1);
      world.run(8_000);
    },
    reads: `
      0.0s many waits: a container is starting
      0.0s start c1 of many on node_1: 6 calls wait
      0.0s start c2 of many on node_1: 6 calls wait
      0.0s start c3 of many on node_1: 6 calls wait
      0.1s many waits: 3 containers are busy; for another: needs 0.1 CPU; largest free node has 0
      0.2s one waits: another container gives way to it
      0.2s drain c1: gives way to demo/one
      0.3s many waits: 2 containers are busy; for another: needs 0.1 CPU; largest free node has 0
      0.3s one waits: waits for a container that is leaving
      2.1s c1 exited
      2.1s one waits: a container is starting
      2.1s start c4 of one on node_1: 1 call waits
      2.7s many waits: 2 containers are busy; for another: another container gives way to it
      2.7s drain c4: gives way to demo/many
      2.8s c4 exited
      2.8s many waits: a container is starting
      2.8s start c5 of many on node_1: 1 call waits`,
  });
});
