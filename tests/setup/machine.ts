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

const ENGINES = {
  what: "Tests of container engines",
  packages: [
    ...["docker.io", "containerd", "runc", "tini", "iptables", "iproute2", "nftables", "openssl"],
    ...["podman", "conmon", "netavark", "aardvark-dns", "catatonit", "docker-registry"],
  ],
  probe: [
    "sh",
    "-c",
    "PATH=$PATH:/usr/sbin; for t in dockerd podman docker-registry nft ip openssl; do command -v $t || exit 1; done",
  ],
} as const;
/** What engines do to a machine, done where it leaves nothing: some machines don't let even root. */
const CONFINE = [
  "unshare",
  ...["--mount", "--pid", "--fork", "--net", "sh", "-c"],
  "PATH=$PATH:/usr/sbin; ip link add probe type bridge && nft add table ip probe",
];

/** Debian's, of 0.7 GiB with all that it needs: that of PyPI brings CUDA, of several. */
const TORCH = {
  what: "Tests of PyTorch",
  packages: ["python3-torch", "libopenblas0-pthread"],
  probe: ["/usr/bin/python3", "-c", "import torch.distributed"],
} as const;

/** Debian packages, and the command that works only with them. */
const NEEDS = [
  {
    what: "Python tests",
    packages: ["python3", "python3-venv"],
    probe: ["python3", "-c", "import ensurepip, venv"],
  },
  ENGINES,
  S3,
  TORCH,
] as const;

/** For `describe(…, { skip: withoutPython }, …)`. */
export const withoutPython = !works(NEEDS[0].probe);

export const withoutTorch = !works(TORCH.probe);

/** Asked again once the machine is prepared. */
export const s3Works = (): boolean => works(S3.probe);
export const withoutS3 = !s3Works();

/** They make networks and containers, which takes root. Asked again once the machine is prepared. */
export const enginesWork = (): boolean => Deno.uid() === 0 && works(ENGINES.probe) && works(CONFINE);
export const withoutEngines = !enginesWork();

/** Installs what is missing, where we may; says what will be skipped, where we may not. */
export async function prepareMachine(say: (line: string) => void): Promise<void> {
  const missing = NEEDS.filter(({ probe }) => !works(probe));
  if (missing.length === 0) return;
  const packages = missing.flatMap(({ packages }) => packages);
  if (Deno.uid() === 0 && works(["apt-get", "--version"])) {
    say(`Installing ${packages.join(", ")}`);
    await apt("update");
    await withoutDaemons(() => apt("install", "--yes", "--no-install-recommends", ...packages));
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

/** Packages of daemons start them when they are installed, unless this file says no. Tests start their own. */
async function withoutDaemons(install: () => Promise<void>): Promise<void> {
  const policy = "/usr/sbin/policy-rc.d";
  const own = !await Deno.lstat(policy).then(() => true, () => false);
  if (own) await Deno.writeTextFile(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    await install();
  } finally {
    if (own) await Deno.remove(policy);
  }
}

/** Whoever else installs something now is waited for; and nothing is flushed to the disk file by file, which takes half of the time. */
const APT = ["--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "DPkg::Options::=--force-unsafe-io"];

async function apt(...args: string[]): Promise<void> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const { success, stderr } = await new Deno.Command("apt-get", { args: [...APT, ...args], env }).output();
  if (!success) throw new Error(`Cannot run apt-get ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
