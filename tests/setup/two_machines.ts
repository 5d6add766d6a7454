/** Two machines, as far as networks go: this one with Docker, and another with Podman, which has one cable to this one. */
import { startDocker } from "./components/docker.ts";
import { testEngines } from "./components/engines.ts";
import { startForward } from "./components/forward.ts";
import { startOtherHost } from "./components/other_host.ts";
import { startPodman } from "./components/podman.ts";

/**
 * Both engines pull from the same registry, at this machine's end of the cable.
 *
 * @param stack ends them
 */
export async function startTwoMachines(stack: AsyncDisposableStack) {
  const { registry: { host } } = await testEngines();
  const other = await startOtherHost();
  stack.defer(other.stop);
  const registry = startForward(other.address, host);
  stack.defer(registry.stop);
  const [docker, podman] = await Promise.all([
    startDocker([registry.host]),
    startPodman([registry.host], other.through),
  ]);
  for (const engine of [docker, podman]) stack.defer(() => engine.stop());
  return { other, registry: registry.host, docker, podman };
}
