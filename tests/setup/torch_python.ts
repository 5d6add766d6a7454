/** A Python with what the examples of PyTorch import: Debian's, and beside it packages of PyPI that fit its PyTorch. Made once, kept. */
import { homedir } from "node:os";
import { command } from "./components/daemon.ts";

/** Without what these depend on in turn: that of it which is used is named here too, or is Debian's. */
const PACKAGES = [
  "transformers==4.35.2",
  "peft==0.6.2",
  "accelerate==0.24.1",
  "safetensors==0.4.1",
  "tokenizers==0.15.0",
  "huggingface-hub==0.19.4",
  "regex==2023.10.3",
  "filelock==3.13.1",
  "fsspec==2023.10.0",
  "tqdm==4.66.1",
  "packaging==23.2",
  "jinja2==3.1.2",
  "markupsafe==2.1.3",
];

/** The folder to be put first on the path. */
export async function torchPython(): Promise<string> {
  const name = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(PACKAGES.join())),
  ).toHex().slice(0, 12);
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${homedir()}/.cache`;
  const folder = `${cache}/berth-tests/python-${name}`;
  const complete = `${folder}/.complete`;
  if (!await Deno.stat(complete).then(() => true, () => false)) {
    await command("/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages", folder);
    const quietly = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"];
    await command(`${folder}/bin/python3`, "-m", "pip", "install", "--no-deps", ...quietly, ...PACKAGES);
    await Deno.writeTextFile(complete, "");
  }
  return `${folder}/bin`;
}
