/** Who answers DNS queries in a cluster. */
import type { LabelSelector } from "../cluster/selector.ts";
import { endpointName } from "../cluster/snapshot.ts";
import type { Endpoint, Snapshot } from "../cluster/snapshot.ts";

/** By what DNS servers of clusters are labelled. */
const DNS_LABELS: readonly (readonly [string, readonly string[]])[] = [
  ["k8s-app", ["kube-dns", "coredns", "node-local-dns"]],
  ["app.kubernetes.io/name", ["coredns"]],
  ["dns.operator.openshift.io/daemonset-dns", ["default"]],
];
/** Services through which they are asked. */
const DNS_SERVICES = new Set([
  "kube-system/kube-dns",
  "kube-system/coredns",
  "kube-system/rke2-coredns-rke2-coredns",
  "openshift-dns/dns-default",
]);

/** Tells whether a selector asks for the labels of a DNS server. */
export function isDnsSelector({ requirements }: LabelSelector): boolean {
  return requirements.some(
    ({ key, operator, values }) =>
      operator === "In" &&
      DNS_LABELS.some(
        ([label, known]) => label === key && values.some((one) => known.includes(one)),
      ),
  );
}

/** The DNS servers that were given: none where only a part of the cluster was. */
export function dnsPods({ endpoints, services }: Snapshot): Endpoint[] {
  const backends = new Set(
    services
      .filter((service) => DNS_SERVICES.has(endpointName(service)))
      .flatMap(({ ports }) => ports.flatMap((port) => port.backends))
      .map(({ address }) => JSON.stringify(address)),
  );
  return endpoints.filter(
    ({ labels, addresses }) =>
      addresses.some((address) => backends.has(JSON.stringify(address))) ||
      DNS_LABELS.some(([label, known]) => known.includes(labels.get(label) ?? "")),
  );
}
