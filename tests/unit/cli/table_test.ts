import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Column, table } from "../../../sdk/cli/table.ts";

interface Row {
  name: string;
  n: number;
}
const COLUMNS: Column<Row>[] = [
  { title: "NAME", text: ({ name }) => name },
  { title: "N", text: ({ n }) => String(n), align: "right" },
  { title: "END", text: () => "e" },
];
const rows = [{ name: "a", n: 1 }, { name: "longer", n: 100 }];
const plain = (text: string) => text;

describe("table()", () => {
  it("makes columns as wide as their widest cell", () => {
    const text = table(rows, COLUMNS, { columns: 80, strong: plain });
    assert.equal(text, "NAME      N  END\na         1  e\nlonger  100  e");
  });

  it("does not count colours as characters", () => {
    const red = (text: string) => `\x1b[31m${text}\x1b[39m`;
    const columns = [{ title: "NAME", text: ({ name }: Row) => red(name) }, ...COLUMNS.slice(1)];
    const lines = table(rows, columns, { columns: 80, strong: plain }).split("\n");
    assert.equal(lines[1], `${red("a")}         1  e`);
  });

  it("cuts lines that do not fit the terminal", () => {
    const lines = table(rows, COLUMNS, { columns: 10, strong: plain }).split("\n");
    assert.deepEqual(lines, ["NAME     …", "a        …", "longer  1…"]);
  });
});
