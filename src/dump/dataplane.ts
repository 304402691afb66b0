/**
 * Signs that the tables of a dump are not what lets packets through on the node: another dataplane
 * decides, before or instead of them. Source: semantics.md DP-1.
 */
import type { OnDiagnostic } from "../errors.ts";
import type { NodeInterface, Ruleset } from "../tables/model.ts";

/** What is known of the node. */
export interface NodeSigns {
  readonly rulesets: readonly Ruleset[];
  /** Undefined: not told. */
  readonly interfaces: readonly NodeInterface[] | undefined;
}

/** Warns as FOREIGN_DATAPLANE of every dataplane that leaves a sign. */
export function warnOfDataplanes(signs: NodeSigns, onDiagnostic: OnDiagnostic): void {
  for (const { shows, message } of DATAPLANES) {
    if (!shows(signs)) continue;
    onDiagnostic({ severity: "warning", code: "FOREIGN_DATAPLANE", message });
  }
}

interface Dataplane {
  readonly shows: (signs: NodeSigns) => boolean;
  readonly message: string;
}

const DATAPLANES: readonly Dataplane[] = [
  {
    shows: (signs) => hasChain(signs, "CILIUM_"),
    message:
      "chains CILIUM_*: Cilium decides in eBPF, which no dump of iptables shows: verdicts are those of iptables alone",
  },
  {
    shows: (signs) => hasChain(signs, "ANTREA-"),
    message:
      "chains ANTREA-*: Antrea decides in Open vSwitch, which no dump of iptables shows: verdicts are those of iptables alone",
  },
  {
    shows: (signs) => hasChain(signs, "OVN-KUBE-"),
    message:
      "chains OVN-KUBE-*: OVN decides in Open vSwitch, which no dump of iptables shows: verdicts are those of iptables alone",
  },
  {
    shows: (signs) => hasSet(signs, "KUBE-CLUSTER-IP") || hasInterface(signs, "kube-ipvs0"),
    message:
      "kube-proxy runs in IPVS mode: Services are translated outside of iptables, so traffic to them is judged untranslated",
  },
  {
    shows: (signs) => hasChain(signs, "KUBE-KUBELET-CANARY") && !hasChain(signs, "KUBE-SERVICES"),
    message:
      "a Kubernetes node without chain KUBE-SERVICES: Services are translated outside of iptables (nftables or eBPF), so traffic to them is judged untranslated",
  },
  {
    shows: (signs) =>
      (hasChain(signs, "cali-") && !hasChain(signs, "cali-from-wl-dispatch")) ||
      (hasInterface(signs, "cali") && !hasChain(signs, "cali-")),
    message:
      "Calico decides outside of these tables (eBPF or nftables): verdicts are those of iptables alone",
  },
];

function hasChain({ rulesets }: NodeSigns, prefix: string): boolean {
  return rulesets.some(({ tables }) =>
    tables.some(({ chains }) => chains.some(({ name }) => name.startsWith(prefix))),
  );
}

function hasSet({ rulesets }: NodeSigns, name: string): boolean {
  return rulesets.some(({ sets }) => sets.some((set) => set.name === name));
}

function hasInterface({ interfaces }: NodeSigns, prefix: string): boolean {
  return interfaces?.some(({ name }) => name.startsWith(prefix)) === true;
}
