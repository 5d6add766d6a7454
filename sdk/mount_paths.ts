/** Where volumes may be mounted. Pure. */

/** Trees that a container has for itself: nothing is mounted at or in them. */
const OWN = ["/berth", "/tmp", "/proc", "/sys", "/dev", "/etc"];
/** Folders without which no program starts: nothing is mounted over them. */
const SYSTEM = [
  "/bin",
  "/boot",
  "/lib",
  "/lib32",
  "/lib64",
  "/run",
  "/sbin",
  "/usr",
  "/usr/bin",
  "/usr/lib",
  "/var",
];

const isIn = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

/** Why nothing may be mounted at a path; null when it may. */
export function mountPathProblem(path: string): string | null {
  if (!/^(\/[\w.-]+)+$/.test(path) || path.split("/").some((part) => part === "." || part === "..")) {
    return 'must be an absolute path of letters, digits, ".", "_" and "-", such as /data';
  }
  const own = OWN.find((folder) => isIn(path, folder));
  if (own !== undefined) return `must not lie in ${own}, which is the container's own`;
  return SYSTEM.includes(path)
    ? `must not be ${path}, which programs need, mount it below or elsewhere`
    : null;
}

/** The first rule that a set of mounts breaks, and where; null when there is none. */
export function mountsProblem(
  mounts: Readonly<Record<string, { readonly name: string }>>,
  max: number,
): { path: string[]; message: string } | null {
  const paths = Object.keys(mounts);
  if (paths.length > max) return { path: [], message: `a function may mount at most ${max} volumes` };
  for (const [i, path] of paths.entries()) {
    const message = mountPathProblem(path) ?? conflict(path, paths.slice(0, i), mounts);
    if (message !== null) return { path: [path], message };
  }
  return null;
}

function conflict(
  path: string,
  before: readonly string[],
  mounts: Readonly<Record<string, { readonly name: string }>>,
): string | null {
  const over = before.find((other) => isIn(path, other) || isIn(other, path));
  if (over !== undefined) return `must not lie in another volume, or around it, as ${path} and ${over} do`;
  const alike = before.find((other) => volumeVariable(other) === volumeVariable(path));
  if (alike !== undefined) return `must not share the variable ${volumeVariable(path)} with ${alike}`;
  const { name } = mounts[path]!;
  const twice = before.find((other) => mounts[other]!.name === name);
  return twice === undefined ? null : `volume "${name}" is mounted at ${twice} already`;
}

/** The variable that says where a volume is: `/data` → `BERTH_VOLUME_DATA`. */
export const volumeVariable = (path: string): string =>
  `BERTH_VOLUME_${path.slice(1).replace(/[^A-Za-z0-9]/g, "_").toUpperCase()}`;
