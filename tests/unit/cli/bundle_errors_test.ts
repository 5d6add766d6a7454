import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { readComplaints } from "../../../sdk/cli/bundle_errors.ts";

const BACKTRACE = "error: bundling failed\n\nStack backtrace:\n   0: <unknown>\n   1: <unknown>\n";
const read = (stderr: string, source = "") => readComplaints(stderr, "/home/ann/shop", () => source);

describe("readComplaints()", () => {
  it("keeps message, frame and place of a syntax error, and drops the backtrace", () => {
    const frame = "  |\n3 | return 1 + ;\n  |            ~";
    const stderr =
      `error: SyntaxError: Expression expected\n${frame}\n    at file:///home/ann/shop/app.ts:3:12\n${BACKTRACE}`;
    assert.deepEqual(read(stderr), [
      { message: "Expression expected", frame, place: { file: "app.ts", line: 3, column: 12 } },
    ]);
  });

  it("shortens paths below the folder", () => {
    const stderr =
      `error: Module not found "file:///home/ann/shop/lib/x.ts".\n    at file:///home/ann/shop/app.ts:2:19\n${BACKTRACE}`;
    assert.equal(read(stderr)[0]!.message, 'Module not found "lib/x.ts".');
  });

  it("finds the import in the source when the bundler counted lines of its own text", () => {
    const source = '// price\n\n\nimport { price } from "./other.ts";\n@deco class A {}\n';
    const stderr =
      `error: No matching export in "other.ts" for import "price"\n    at file:///home/ann/shop/app.ts:375:9\n${BACKTRACE}`;
    assert.deepEqual(read(stderr, source)[0]!.place, { file: "app.ts", line: 4, column: 10 });
  });

  it("believes the line when the name is on it", () => {
    const source = 'import lodash from "lodash";\n';
    const stderr =
      `error: Import "lodash" not a dependency\n    at file:///home/ann/shop/app.ts:1:20\n${BACKTRACE}`;
    assert.deepEqual(read(stderr, source)[0]!.place, { file: "app.ts", line: 1, column: 20 });
  });

  it("lists every type error", () => {
    const stderr = [
      "TS2322 [ERROR]: Type 'string' is not assignable to type 'number'.",
      "const a: number = 'x';",
      "      ^",
      "    at file:///home/ann/shop/app.ts:1:7",
      "",
      "TS2304 [ERROR]: Cannot find name 'b'.",
      "b();",
      "^",
      "    at file:///home/ann/shop/app.ts:2:1",
      "",
      "Found 2 errors.",
      "",
      "error: Type checking failed.",
    ].join("\n");
    const found = read(stderr);
    assert.deepEqual(found.map(({ message }) => message), [
      "TS2322: Type 'string' is not assignable to type 'number'.",
      "TS2304: Cannot find name 'b'.",
    ]);
    assert.deepEqual(found.map(({ place }) => place?.line), [1, 2]);
  });
});
