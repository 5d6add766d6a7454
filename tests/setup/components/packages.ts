/** Packages that images of tests install without any network: a wheel, and an archive of Debian with one package. */
import { command } from "./daemon.ts";

/** A wheel in `folder` with one module, whose `VALUE` is 41; its file name. */
export async function makeWheel(folder: string): Promise<string> {
  const source = await Deno.makeTempDir();
  const info = `${source}/berth_answer-1.0.dist-info`;
  await Deno.mkdir(info);
  await Deno.writeTextFile(`${source}/berth_answer.py`, "VALUE = 41\n");
  await Deno.writeTextFile(`${info}/METADATA`, "Metadata-Version: 2.1\nName: berth-answer\nVersion: 1.0\n");
  await Deno.writeTextFile(
    `${info}/WHEEL`,
    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
  );
  const files = [
    "berth_answer.py",
    "berth_answer-1.0.dist-info/METADATA",
    "berth_answer-1.0.dist-info/WHEEL",
  ];
  await Deno.writeTextFile(
    `${info}/RECORD`,
    [...files, "berth_answer-1.0.dist-info/RECORD"].map((file) => `${file},,\n`).join(""),
  );
  const wheel = "berth_answer-1.0-py3-none-any.whl";
  await command(
    "sh",
    "-c",
    `cd "${source}" && python3 -m zipfile -c "${folder}/${wheel}" berth_answer.py berth_answer-1.0.dist-info/`,
  );
  await Deno.remove(source, { recursive: true });
  return wheel;
}

/** An archive in `folder` with the package `berth-hello`, which brings the command `berth-hello`. */
export async function makeArchive(folder: string): Promise<void> {
  const source = await Deno.makeTempDir();
  await Deno.mkdir(`${source}/DEBIAN`);
  await Deno.mkdir(`${source}/usr/bin`, { recursive: true });
  await Deno.chmod(source, 0o755);
  await Deno.writeTextFile(
    `${source}/DEBIAN/control`,
    "Package: berth-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: Berth <berth@berth.example>\nDescription: says hello\n",
  );
  await Deno.writeTextFile(`${source}/usr/bin/berth-hello`, "#!/bin/sh\necho hello\n", { mode: 0o755 });
  const deb = `${folder}/berth-hello.deb`;
  await command("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", source, deb);
  const bytes = await Deno.readFile(deb);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const control = (await Deno.readTextFile(`${source}/DEBIAN/control`)).trim();
  await Deno.writeTextFile(
    `${folder}/Packages`,
    `${control}\nFilename: ./berth-hello.deb\nSize: ${bytes.length}\nSHA256: ${hash}\n`,
  );
  await Deno.remove(source, { recursive: true });
}
