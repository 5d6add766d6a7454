/** What an editor is told of the Python module is what there is of it. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import { berth } from "../setup/shell.ts";

/** Names that the types have and the module lacks, members of classes included. */
const LACKING = `
import ast, sys
sys.path.insert(0, sys.argv[1])
import berth
for node in ast.parse(open(sys.argv[1] + "/berth.pyi").read()).body:
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name == "Published":
        continue
    there = getattr(berth, node.name, None)
    if there is None:
        print(node.name)
    for member in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(member, ast.FunctionDef) and not hasattr(there, member.name):
            print(f"{node.name}.{member.name}")
declared = {node.name for node in ast.parse(open(sys.argv[1] + "/berth.pyi").read()).body if hasattr(node, "name")}
print(*(name for name in berth.__all__ if name not in declared), sep="\\n", end="")
`;

describe("the Python module", { skip: withoutPython }, () => {
  it("is what its types say, where `berth py-path` says", async () => {
    const { code, out } = await berth(["py-path"], () => new Response());
    assert.equal(code, 0);
    const path = out.trim();
    const args = ["-c", LACKING, path];
    const { success, stdout, stderr } = await new Deno.Command("python3", { args }).output();
    const said = new TextDecoder();
    assert.ok(success, said.decode(stderr));
    assert.equal(said.decode(stdout), "");
  });
});
