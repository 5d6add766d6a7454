import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { normaliseBundle } from "../../../sdk/cli/normalise.ts";

const place = { cwd: "/home/ann/shop", npmCache: "/home/ann/.cache/deno/npm" };
const inCache = "../.cache/deno/npm/registry.example/is-number/7.0.0/index.js";
const PREFIX = "//# sourceMappingURL=data:application/json;base64,";

const withMap = (code: string, map: unknown) => `${code}\n${PREFIX}${btoa(JSON.stringify(map))}\n`;
const mapOf = (text: string) => JSON.parse(atob(text.slice(text.indexOf(PREFIX) + PREFIX.length).trim()));

describe("normaliseBundle()", () => {
  it("takes the cache's folder and the registry's host out of comments and module keys", () => {
    const code = `// ${inCache}\nvar x = __commonJS({\n  "${inCache}"(exports) {}\n});\n`;
    const text = normaliseBundle(code, place);
    assert.equal(
      text,
      `// npm/is-number/7.0.0/index.js\nvar x = __commonJS({\n  "npm/is-number/7.0.0/index.js"(exports) {}\n});\n`,
    );
  });

  it("leaves text alone that only mentions the cache", () => {
    const code = `const hint = "see " + \`in ${inCache}\`;\n`;
    assert.equal(normaliseBundle(code, place), code);
  });

  it("names the map's sources app:/// and npm:///, and drops their text", () => {
    const sources = [inCache, "app.ts", "../lib/x.ts"];
    const text = normaliseBundle(
      withMap("x;", { version: 3, sources, sourcesContent: ["a", "b", "c"], mappings: "A" }),
      place,
    );
    assert.deepEqual(mapOf(text), {
      version: 3,
      sources: ["npm:///is-number/7.0.0/index.js", "app:///app.ts", "app:///../lib/x.ts"],
      mappings: "A",
    });
  });

  it("gives the same text for the same source in another place", () => {
    const elsewhere = { cwd: "/srv/a/b", npmCache: "/var/npm" };
    const there = "../../../var/npm/mirror/is-number/7.0.0/index.js";
    const bundle = (path: string) =>
      withMap(`// ${path}\nx;`, { version: 3, sources: [path, "app.ts"], mappings: "" });
    assert.equal(normaliseBundle(bundle(inCache), place), normaliseBundle(bundle(there), elsewhere));
  });

  it("drops the map of code that is larger than 5 MiB", () => {
    const code = "x".repeat(5 * 1024 * 1024 + 1);
    assert.equal(
      normaliseBundle(withMap(code, { version: 3, sources: [], mappings: "" }), place),
      `${code}\n`,
    );
  });
});
