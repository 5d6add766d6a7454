import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { checkManifest } from "../../api/manifest.ts";
import { PlatformError } from "../../sdk/errors.ts";
import { Manifest } from "../../sdk/protocol.ts";

const NOW = Date.UTC(2026, 0, 1);
const fn = (name: string, more = {}) => ({
  name,
  kind: "function",
  body: "ts",
  entry: name,
  methods: [{ name, kind: "call" }],
  ...more,
});
const at = (method: string, cron = "0 3 * * *", timeZone = "UTC") => ({ method, cron, timeZone });

/** The field that is to blame, or null. */
function blamed(...functions: unknown[]): string | null {
  try {
    checkManifest(Manifest.parse({ sdkVersion: "0.1.0", functions }), NOW);
    return null;
  } catch (error) {
    assert.ok(error instanceof PlatformError && error.code === "invalid_request");
    return error.field!.replace("manifest.functions.", "");
  }
}

describe("checkManifest() of servers", () => {
  const endpoint = { name: "web", kind: "endpoint", endpoint: { name: "web" } };
  const server = (more = {}, spec = {}) =>
    fn("web", { body: "server", methods: [endpoint], server: { command: ["serve"], ...more }, ...spec });

  it("accepts a server with its endpoint", () => {
    assert.equal(blamed(server({ port: 8_000, health: { path: "/health?deep=1" }, drain: "1m" })), null);
  });

  it("blames a server without its command, and others with one", () => {
    assert.equal(blamed(fn("web", { body: "server", methods: [endpoint] })), "0.server");
    assert.equal(blamed(fn("train", { server: { command: ["serve"] } })), "0.server");
    assert.equal(blamed(server({ command: undefined })), "0.server.command");
    assert.equal(blamed(server({ command: undefined }, { image: { ref: "vllm/vllm-openai" } })), null);
  });

  it("blames what a server cannot have", () => {
    const call = { name: "web", kind: "call" };
    assert.equal(blamed(server({}, { methods: [call] })), "0.methods.0.kind");
    assert.equal(blamed(server({}, { methods: [endpoint, call] })), "0.methods");
  });

  it("leaves the rest to the schema", () => {
    const refused = [
      { command: [] },
      { command: [""] },
      { port: 0 },
      { port: 8_000, socket: true },
      { health: { path: "health" } },
      { health: { path: "/a b" } },
      { health: { path: "/", interval: "1ms" } },
      { health: { path: "/", failures: 0 } },
      { drain: "soon" },
      { image: "vllm" },
    ];
    for (const more of refused) {
      const parsed = Manifest.safeParse({ sdkVersion: "0.1.0", functions: [server(more)] });
      assert.equal(parsed.success, false, JSON.stringify(more));
    }
  });
});

describe("checkManifest()", () => {
  it("accepts functions, classes with calls and endpoints, and schedules", () => {
    const digits = fn("Digits", {
      kind: "class",
      methods: [
        { name: "Digits.classify", member: "classify", kind: "call" },
        { name: "Digits.http", member: "http", kind: "endpoint", endpoint: { name: "classify" } },
        { name: "Digits.refresh", member: "refresh", kind: "call" },
      ],
      schedules: [
        at("Digits.refresh", "*/5 * * * *"),
        at("Digits.refresh", "*/5 * * * * *"),
        at("Digits.classify"),
      ],
    });
    assert.equal(blamed(fn("train", { schedules: [at("train", "0 3 * * *", "Asia/Seoul")] }), digits), null);
  });

  it("blames names that come twice", () => {
    assert.equal(blamed(fn("a"), fn("b"), fn("a")), "2.name");
    const twice = [{ name: "a", kind: "call" }, { name: "a", kind: "call" }];
    assert.equal(blamed(fn("a", { methods: twice })), "0.methods.1.name");
    const endpoint = (name: string) =>
      fn(name, { methods: [{ name, kind: "endpoint", endpoint: { name: "x" } }] });
    assert.equal(blamed(endpoint("a"), endpoint("b")), "1.methods.0.endpoint.name");
    assert.equal(blamed(fn("a", { schedules: [at("a"), at("a")] })), "0.schedules.1");
  });

  it("blames what the nodes of a gang cannot do together", () => {
    const gang = (more = {}) => fn("a", { nodes: 4, ...more });
    const endpoint = [{ name: "a", kind: "endpoint", endpoint: { name: "x" } }];
    assert.equal(blamed(gang()), null);
    assert.equal(blamed(gang({ concurrency: 2 })), "0.concurrency");
    const image = { ref: "train:1" };
    assert.equal(blamed(gang({ image })), null);
    for (const egress of ["deny", ["a:1"]]) {
      assert.equal(blamed(gang({ image, egress })), "0.egress");
      assert.equal(blamed(gang({ egress })), null); // a program's permissions hold it
    }
    assert.equal(blamed(gang({ methods: endpoint })), "0.methods.0.kind");
    assert.equal(
      blamed(gang({ methods: [{ name: "a", kind: "call", stream: true }] })),
      "0.methods.0.stream",
    );
  });

  it("blames methods that are not the function's", () => {
    assert.equal(blamed(fn("a", { methods: [{ name: "b", kind: "call" }] })), "0.methods.0.name");
    for (const name of ["A", "B.go", "A.", "A.go.on", "A.9"]) {
      assert.equal(
        blamed(fn("A", { kind: "class", methods: [{ name, kind: "call" }] })),
        "0.methods.0.name",
        name,
      );
    }
  });

  it("blames an endpoint without its name, and a name without its endpoint", () => {
    assert.equal(blamed(fn("a", { methods: [{ name: "a", kind: "endpoint" }] })), "0.methods.0.endpoint");
    assert.equal(
      blamed(fn("a", { methods: [{ name: "a", kind: "call", endpoint: { name: "x" } }] })),
      "0.methods.0.endpoint",
    );
  });

  it("blames the cron, the time zone or the method of a schedule", () => {
    for (const cron of ["", "* * * *", "* * * * * * *", "60 * * * *", "a b c d e", "0 0 30 2 *"]) {
      assert.equal(blamed(fn("a", { schedules: [at("a", cron)] })), "0.schedules.0.cron", cron);
    }
    for (const timeZone of ["", "Mars/Olympus", "+09:00"]) {
      assert.equal(
        blamed(fn("a", { schedules: [at("a", "0 3 * * *", timeZone)] })),
        "0.schedules.0.timeZone",
        timeZone,
      );
    }
    assert.equal(blamed(fn("a", { schedules: [at("b")] })), "0.schedules.0.method");
    const endpoint = { name: "a", kind: "endpoint", endpoint: { name: "x" } };
    assert.equal(blamed(fn("a", { methods: [endpoint], schedules: [at("a")] })), "0.schedules.0.method");
  });
});
