/** Host endpoints where all nodes are seen as one. */
import { felixSettings } from "../cluster/felix-configuration.ts";
import { ALL_INTERFACES } from "../cluster/host-endpoints.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { FelixSettings, HostEndpoint, Snapshot } from "../cluster/snapshot.ts";
import type { OnDiagnostic } from "../errors.ts";
import { formatPolicyRef } from "../policy/model.ts";
import { builtInProfile } from "../policy/profile.ts";
import { bindAllHostEndpoints, UNBOUND, type HostBinding } from "./host-binding.ts";
import type { HostsByPolicy } from "./host-tables.ts";
import type { LocalEndpoint } from "./selections.ts";

/**
 * Binds the host endpoints of all nodes seen as one. Where all let everything through, there are none. What
 * is not tracked at one node may be at the next, each node may have failsafe ports of its own, and a pod of which
 * nothing tells where it is may be behind an endpoint for all interfaces: that is refused.
 */
export function bindCluster(
  snapshot: Snapshot,
  { hosts, local }: { readonly hosts: HostsByPolicy; readonly local: readonly LocalEndpoint[] },
  onDiagnostic: OnDiagnostic,
): HostBinding {
  const bound = snapshot.hostEndpoints.filter(({ node }) => node !== undefined);
  const selected = new Set([...hosts.values()].flat());
  if (bound.every((endpoint) => !selected.has(endpoint) && isOpen(endpoint.profiles))) {
    return UNBOUND;
  }
  const refuse = (endpoint: HostEndpoint, why: string): void => {
    onDiagnostic({
      severity: "error",
      code: "UNSUPPORTED_FEATURE",
      message: `HostEndpoint ${endpoint.name} ${why}: give that node's point of view`,
      place: endpoint.place,
      suggestion: `--node ${endpoint.node ?? "NAME"}`,
    });
  };
  const untracked = [...hosts].find(
    ([policy, some]) => policy.host === "untracked" && some.length > 0,
  );
  const [policy, [first] = []] = untracked ?? [];
  if (policy !== undefined && first !== undefined) {
    refuse(first, `has ${formatPolicyRef(policy.ref)}, which does not track what its node lets in`);
  }
  const common = settingsText(felixSettings(snapshot, undefined));
  const different = bound.find(
    ({ node }) => settingsText(felixSettings(snapshot, node)) !== common,
  );
  if (different !== undefined) refuse(different, "is on a node with settings of its own");
  const open = local.find(({ endpoint: { node } }) => node === undefined);
  const forwarding = [...hosts].flatMap(([{ host }, some]) =>
    host === "forwarded" || host === "pre-dnat" ? some : [],
  );
  const everywhere = forwarding.find(({ interfaceName }) => interfaceName === ALL_INTERFACES);
  if (open !== undefined && everywhere !== undefined) {
    refuse(
      everywhere,
      `binds pods' interfaces, too, and nothing tells on which node ${endpointName(open.endpoint)} is`,
    );
  }
  const podInterfaces = new Map<string, string[]>();
  for (const { endpoint, interfaceName } of local) {
    if (endpoint.node === undefined) continue;
    const own = podInterfaces.get(endpoint.node);
    if (own === undefined) podInterfaces.set(endpoint.node, [interfaceName]);
    else own.push(interfaceName);
  }
  return bindAllHostEndpoints(snapshot, podInterfaces, onDiagnostic);
}

/** Settings without the places where they stand. */
function settingsText(settings: FelixSettings): string {
  return JSON.stringify(settings, (key, value: unknown) => (key === "place" ? undefined : value));
}

function isOpen([first]: HostEndpoint["profiles"]): boolean {
  return first !== undefined && builtInProfile(first.name) === "allows";
}
