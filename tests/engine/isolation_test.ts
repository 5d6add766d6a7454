import { after, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { DeliveredSecret } from "../../sdk/protocol.ts";
import { command } from "../setup/components/daemon.ts";
import { addressesOf, listening, OWN_ADDRESS } from "../setup/neighbour.ts";
import { assertOutOfReach, type Attempt, attempt, BODIES, callsThatWork, hostile } from "../setup/hostile.ts";
import { end, exitOf, ociRunner, onEveryEngine, type World } from "../setup/oci_world.ts";
import type { TestRunner } from "../setup/runner.ts";
import { processes } from "../setup/processes.ts";
import { until, untilTrue } from "../setup/until.ts";

const SECRET = "correct horse battery staple";
const SECRETS: DeliveredSecret[] = [{ name: "db", as: "files", values: { PASSWORD: SECRET } }];
const VICTIM = `import os, socket, subprocess
${OWN_ADDRESS}
def fn(_, ctx):
  subprocess.Popen(["sleep", "77777"])
  listener = socket.create_server(("0.0.0.0", 5000))
  globals()["kept"] = listener
  socket.create_connection(("127.0.0.1", 5000)).close()
  return [own_address(), open(ctx.secret_file("PASSWORD")).read()]
`;

/** One that is up to no good, and one that has something to lose, with the address of the latter. */
async function neighbours(world: World, body: typeof BODIES[number]) {
  const runner = await ociRunner(world);
  runner.api.secrets = SECRETS;
  const [source, spec] = hostile(body);
  const secrets = SECRETS.map(({ values: _, ...ref }) => ref);
  runner.api.want(
    await runner.assign(VICTIM, { body: "python", name: "victim", secrets }),
    await runner.assign(source, spec),
  );
  const { value } = await end(runner, runner.api.call("victim", [null], "fn"));
  const [address, secret] = value as [string, string];
  assert.equal(secret, SECRET);
  (await Deno.connect({ hostname: address, port: 5_000 })).close(); // this machine itself may
  return { runner, address };
}

const onlyRefused = async (runner: TestRunner, attempts: readonly Attempt[]): Promise<void> => {
  const outcomes = await attempt(runner, attempts);
  assert.deepEqual(attempts.flatMap((one, i) => outcomes[i]![0] ? [[one, outcomes[i]![1]]] : []), []);
};

onEveryEngine("a hostile function", (world) => {
  for (const body of BODIES) {
    describe(`in ${body === "ts" ? "TypeScript" : "Python"}`, () => {
      let shared: ReturnType<typeof neighbours> | undefined;
      const both = () => shared ??= world().then((here) => neighbours(here, body));
      after(async () => await (await shared)?.runner[Symbol.asyncDispose]());

      it("does what it is told", async () => {
        const { runner } = await both();
        const outcomes = await attempt(runner, [
          { do: "write", path: "/tmp/x", text: "mine" },
          { do: "read", path: "/tmp/x" },
          { do: "run", argv: ["cat", "/tmp/x"] },
          { do: "call", n: 39, args: [] }, // getpid
          { do: "connect", host: "127.0.0.1", ports: [1] },
        ]);
        assert.ok(outcomes.every(([worked]) => worked), JSON.stringify(outcomes));
        assert.deepEqual(outcomes.slice(1, 3), [[true, "mine"], [true, "mine"]]);
      });

      it("reaches nothing of the machine: bundles, secrets, sockets of others, the engine", async () => {
        const { runner } = await both();
        const here = await world();
        const slots = await Array.fromAsync(Deno.readDir(`${runner.dir}/slots`), ({ name }) => name);
        const sockets = (await command("find", "/dev/shm", "-maxdepth", "2", "-name", slots[0]!)).trim();
        const [bundle] = await Array.fromAsync(Deno.readDir(`${runner.dir}/bundles`), ({ name }) => name);
        const places = [
          `${runner.dir}/slots/${slots[0]}`,
          `${sockets}/run`,
          `${runner.dir}/bundles/${bundle}`,
        ];
        for (const path of [runner.dir, ...places, here.at.socket]) await assertOutOfReach(runner, path);
        const secret = (await command("grep", "-rl", SECRET, `${runner.dir}/slots`)).trim();
        await assertOutOfReach(runner, secret);
      });

      it("sees no process of others, and cannot signal one", async () => {
        const { runner } = await both();
        const sleeper = processes().find(({ command }) => command === "sleep 77777")!;
        const own = processes().find(({ pid }) => pid === Deno.pid)!;
        const [[, list]] = await attempt(runner, [{ do: "run", argv: ["ps"] }]) as [[true, string]];
        assert.doesNotMatch(list, /77777/);
        assert.ok(list.trim().split("\n").length < 8, list);
        await onlyRefused(
          runner,
          [sleeper.pid, own.pid].flatMap((pid): Attempt[] => [
            { do: "call", n: 62, args: [pid, 0] }, // kill
            { do: "read", path: `/proc/${pid}/cmdline` },
            { do: "list", path: `/proc/${pid}/root` },
          ]),
        );
      });

      it("is refused by the kernel: namespaces, mounts, keys, modules, other processes", async () => {
        const { runner } = await both();
        assert.deepEqual(await callsThatWork(runner), []);
        await onlyRefused(
          runner,
          [
            ["unshare", "-U", "true"],
            ["unshare", "-m", "true"],
            ["mknod", "/tmp/disk", "b", "254", "0"],
            ["mknod", "/berth/slot/disk", "c", "1", "1"],
            ["mount", "-t", "cgroup", "-o", "memory", "cgroup", "/tmp"],
            ["mount", "-t", "proc", "proc", "/tmp"],
            ["ping", "-c", "1", "127.0.0.1"],
            ["su", "-c", "true"],
          ].map((argv): Attempt => ({ do: "run", argv })),
        );
      });

      it("can write to no setting of the kernel, to no control group and to no disk", async () => {
        const { runner } = await both();
        const places = ["/proc/sys", "/sys", "/etc", "/usr/bin", "/berth/host", "/berth/slot/app"];
        const outcomes = await attempt(runner, places.map((path) => ({ do: "writable", path })));
        // Deno itself keeps its code out of /proc/sys and /sys.
        assert.deepEqual(outcomes.filter(([worked, paths]) => worked && (paths as string[]).length > 0), []);
        const [devices] = await attempt(runner, [{ do: "writable", path: "/dev" }]);
        const found = devices![0] ? devices![1] as string[] : [];
        const harmless =
          /^\/dev\/(null|zero|full|random|urandom|tty|ptmx|console|std\w+|fd\/|pts\/|shm\/|mqueue\/)/;
        assert.deepEqual(found.filter((path) => !harmless.test(path)), []);
        await onlyRefused(runner, [
          ...["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys/kernel/uevent_helper"].map((
            path,
          ): Attempt => ({
            do: "write",
            path,
            text: "1",
          })),
          ...["/proc/kmsg", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda"].map((path): Attempt => ({
            do: "read",
            path,
          })),
        ]);
        const [kcore] = await attempt(runner, [{ do: "read", path: "/proc/kcore" }]);
        assert.ok(!String(kcore![1]).includes("ELF"));
      });

      it("reaches no port of the machine, nor of the container beside it", async () => {
        const { runner, address } = await both();
        using everywhere = Deno.listen({ hostname: "::", port: 0 });
        const { port } = everywhere.addr as Deno.NetAddr;
        const ports = [...new Set(await listening())];
        assert.ok(ports.includes(port) && ports.includes(Number(new URL(runner.api.origin).port)));
        const own = addressesOf();
        assert.ok(own.length > 1, own.join(" "));
        const attempts = [
          // By addresses of the sixth version each attempt takes its time: nobody says where they are.
          ...own.map((host): Attempt => ({
            do: "connect",
            host,
            ports: host.includes(":") ? [port] : ports,
          })),
          { do: "connect", host: address, ports: [5000] } as const,
        ];
        assert.deepEqual(await attempt(runner, attempts), attempts.map(() => [true, []]));
      });

      it("does not outlive its cancel, whatever it has started and however deaf it is", async () => {
        const { runner } = await both();
        const mark = `9${Math.floor(Math.random() * 1e8)}`;
        const deaf = `trap "" TERM INT HUP QUIT; sleep ${mark} & sleep ${mark}`;
        const script =
          `(setsid sh -c '${deaf}' >/dev/null 2>&1 &); (env -i sh -c '${deaf}' >/dev/null 2>&1 &); ${deaf}`;
        const batch = runner.api.call("fn", [[{ do: "run", argv: ["sh", "-c", script] }]]);
        const sleepers = () => processes().filter(({ command }) => command.includes(`sleep ${mark}`));
        await untilTrue(
          "they run",
          () => sleepers().filter(({ command }) => command.startsWith("sleep")).length === 6,
        );
        runner.api.cancel(batch, 0);
        assert.equal((await until("it has ended", () => runner.api.endOf(batch) ?? null)).outcome, 2);
        assert.equal((await exitOf(runner, "ctr_2")).kind, "cancelled");
        await untilTrue("they are gone", () => sleepers().length === 0);
      });
    });
  }

  it("cannot lead the gateway to another socket", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const source = `import { App } from "berth";
Deno.removeSync("/berth/slot/http.sock");
Deno.symlinkSync("/var/run/docker.sock", "/berth/slot/http.sock");
const app = new App("test");
export const fn = app.endpoint({}, () => new Response("x"));
`;
    runner.api.want(
      await runner.assign(source, {
        permissions: { write: true, read: true },
        methods: [{ name: "fn", kind: "endpoint", endpoint: { name: "fn" } }],
      }),
    );
    await untilTrue("it was refused", () => runner.api.observed.get("ctr_1")?.exit !== undefined);
    assert.match(runner.api.observed.get("ctr_1")!.exit!.message, /endpoints cannot be reached/);
  });
});
