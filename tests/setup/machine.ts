/** What tests need of the machine beyond Deno, and how they do without. */

const S3 = {
  what: "S3 tests",
  packages: ["radosgw", "ceph-mon", "ceph-osd", "ceph-common"],
  probe: [
    "sh",
    "-c",
    "PATH=$PATH:/usr/sbin; for it in radosgw ceph-mon ceph-osd ceph; do command -v $it || exit 1; done",
  ],
} as const;

/** Debian packages, and the command that works only with them. */
const NEEDS = [
  {
    what: "Python tests",
    packages: ["python3", "python3-venv"],
    probe: ["python3", "-c", "import ensurepip, venv"],
  },
  S3,
] as const;

/** For `describe(…, { skip: withoutPython }, …)`. */
export const withoutPython = !works(NEEDS[0].probe);
export const withoutS3 = !works(S3.probe);

/** Installs what is missing, where we may; says what will be skipped, where we may not. */
export async function prepareMachine(say: (line: string) => void): Promise<void> {
  const missing = NEEDS.filter(({ probe }) => !works(probe));
  if (missing.length === 0) return;
  const packages = missing.flatMap(({ packages }) => packages);
  if (Deno.uid() === 0 && works(["apt-get", "--version"])) {
    say(`Installing ${packages.join(", ")}`);
    await apt("update");
    await apt("install", "--yes", "--no-install-recommends", ...packages);
    return;
  }
  for (const { what, packages } of missing) {
    say(`Skipping ${what}: they need ${packages.join(" and ")}; as root they would be installed`);
  }
}

function works([command, ...args]: readonly string[]): boolean {
  try {
    return new Deno.Command(command!, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

async function apt(...args: string[]): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const { success, stderr } = await new Deno.Command("apt-get", { args: ["--quiet", ...args], env }).output();
  if (!success) throw new Error(`Cannot run apt-get ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
