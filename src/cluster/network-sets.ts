/** Calico's NetworkSet and GlobalNetworkSet, which are addresses with labels, and its IPPool. */
import type { OnDiagnostic } from "../errors.ts";
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  readBoolean,
  recordOf,
  reportField,
  rootField,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { checkCalicoVersion, readNet, readPrefix, readWord } from "./read-network.ts";
import { readExpression } from "./read-selector.ts";
import type { IpPool, NetworkSet } from "./snapshot.ts";

/** Reads a set; what is no prefix or address was reported and is left out. */
export function readNetworkSet(object: ManifestObject, onDiagnostic: OnDiagnostic): NetworkSet {
  const root = rootField(object, onDiagnostic);
  checkCalicoVersion(root);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec"]);
  const spec = recordOf(root, "spec");
  const domains = fieldOf(spec, "allowedEgressDomains");
  if (domains.value !== undefined) {
    reportField(domains, {
      code: "UNSUPPORTED_FEATURE",
      message: "domain names are not read: which addresses they stand for is known to no manifest",
    });
  }
  checkKnownFields(spec, ["nets", "allowedEgressDomains"]);
  const { namespace, name, labels } = object.metadata;
  if (labels.has(RESERVED_LABEL)) {
    reportField(fieldOf(fieldOf(fieldOf(root, "metadata"), "labels"), RESERVED_LABEL), {
      code: "BAD_VALUE",
      message: "is Calico's own: it gives this label to what is in a namespace",
    });
  }
  return {
    namespace: namespace === "" ? undefined : namespace,
    name,
    labels,
    prefixes: itemsOf(fieldOf(spec, "nets"))
      .map(readNet)
      .filter((net) => net !== undefined),
    place: object.place,
  };
}

const RESERVED_LABEL = "projectcalico.org/namespace";

/** Reads an IPPool; undefined where it has no range, which was reported. */
export function readPool(object: ManifestObject, onDiagnostic: OnDiagnostic): IpPool | undefined {
  const root = rootField(object, onDiagnostic);
  checkCalicoVersion(root);
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, POOL_FIELDS);
  const uses = itemsOf(fieldOf(spec, "allowedUses")).map((use) => readWord(use, "use", USES));
  for (const key of ["nodeSelector", "namespaceSelector"]) readExpression(fieldOf(spec, key));
  const range = fieldOf(spec, "cidr");
  if (range.value === undefined) {
    reportField(range, { code: "MISSING_FIELD", message: "the pool has no range" });
  }
  const prefix = readPrefix(range);
  const ipip = readWord(fieldOf(spec, "ipipMode"), "ipipMode", MODES) ?? "Never";
  const vxlan = readWord(fieldOf(spec, "vxlanMode"), "vxlanMode", MODES) ?? "Never";
  const natOutgoing = readBoolean(fieldOf(spec, "natOutgoing")) ?? false;
  if (ipip !== "Never" && (vxlan !== "Never" || prefix?.address.family === 6)) {
    const message = vxlan === "Never" ? "may not be of IPv6" : "may not stand beside vxlanMode";
    reportField(fieldOf(spec, "ipipMode"), { code: "BAD_VALUE", message });
  }
  if (prefix === undefined) return undefined;
  return {
    prefix,
    natOutgoing,
    // > No uses: workloads and tunnels.
    ofNetwork: uses.length === 0 || uses.some((use) => use === "Workload" || use === "Tunnel"),
    forPods: uses.length === 0 || uses.includes("Workload"),
    wrapsAlways: ipip === "Always" || vxlan === "Always",
    tunnel: ipip !== "Never" ? "ipip" : vxlan !== "Never" ? "vxlan" : undefined,
  };
}

const USES = ["Workload", "Tunnel", "LoadBalancer"] as const;
const MODES = ["Always", "CrossSubnet", "Never"] as const;

/** Source: api/pkg/apis/projectcalico/v3/ippool.go, older names of fields included. */
const POOL_FIELDS = [
  "cidr",
  "vxlanMode",
  "ipipMode",
  "natOutgoing",
  "disabled",
  "disableBGPExport",
  "blockSize",
  "nodeSelector",
  "namespaceSelector",
  "allowedUses",
  "assignmentMode",
  "awsSubnetID",
  "ipip",
  "nat-outgoing",
];
