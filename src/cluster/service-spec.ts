/**
 * A Service's own fields: how it is reached and which traffic goes where. Its endpoints are
 * `service-endpoints.ts`'s. Every field of the API is known here: one that is not could change the
 * tables.
 */
import type { Address, Family, Prefix } from "../net/address.ts";
import {
  checkKnownFields,
  fieldOf,
  isRecord,
  itemsOf,
  itemsOfList,
  readInteger,
  readText,
  recordOf,
  reportField,
  withValue,
  type Field,
} from "./fields.ts";
import {
  portNameFault,
  readAddress,
  readPort,
  readPrefix,
  readProtocol,
  readWord,
} from "./read-network.ts";
import type { Labels, PortProtocol, Service } from "./snapshot.ts";

const TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const;
const TRAFFIC_POLICIES = ["Cluster", "Local"] as const;
const IP_FAMILIES = ["IPv4", "IPv6"] as const;

const SPEC_FIELDS = [
  "allocateLoadBalancerNodePorts",
  "clusterIP",
  "clusterIPs",
  "externalIPs",
  "externalName",
  "externalTrafficPolicy",
  "healthCheckNodePort",
  "internalTrafficPolicy",
  "ipFamilies",
  "ipFamilyPolicy",
  "loadBalancerClass",
  "loadBalancerIP",
  "loadBalancerSourceRanges",
  "ports",
  "publishNotReadyAddresses",
  "selector",
  "sessionAffinity",
  "sessionAffinityConfig",
  "trafficDistribution",
  "type",
];
const PORT_FIELDS = ["appProtocol", "name", "nodePort", "port", "protocol", "targetPort"];

/** > Services with this label are left to the proxy that it names. */
const PROXY_LABEL = "service.kubernetes.io/service-proxy-name";
/** > Services and EndpointSlices with this label, of whatever value, are for headless Services. */
const HEADLESS_LABEL = "service.kubernetes.io/headless";

/** kube-proxy never sees an EndpointSlice with these labels. Source: kubernetes cmd/kube-proxy/app/server.go. */
export function isUnseen(labels: Labels): boolean {
  return labels.has(PROXY_LABEL) || labels.has(HEADLESS_LABEL);
}

/** One port of a Service. */
export interface WantedPort {
  /** Empty for the only, unnamed port. */
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: number;
  /** A number, or the name of a container port. */
  readonly target: number | string;
  readonly nodePort: number | undefined;
}

/** Reads a Service's ports. Reports BAD_PORT, BAD_VALUE, MISSING_FIELD and UNKNOWN_FIELD. */
export function readServicePorts(root: Field): WantedPort[] {
  const spec = recordOf(root, "spec");
  const fields = itemsOf(fieldOf(spec, "ports"));
  checkTogether(fields);
  if ((fieldOf(spec, "type").value ?? "ClusterIP") === "ClusterIP") fields.forEach(refuseNodePort);
  return fields.map(readServicePort).filter((port) => port !== undefined);
}

/** Reports what several ports of one Service cannot share. Source: kubernetes ValidateService(). */
function checkTogether(fields: readonly Field[]): void {
  if (fields.length < 2) return;
  const seen = new Set<string>();
  for (const field of fields) {
    const { name, port, protocol = "TCP", nodePort } = isRecord(field.value) ? field.value : {};
    // > Only optional if one ServicePort is defined on this service.
    if ((name ?? "") === "") {
      const message = "is required of each of several ports";
      reportField(fieldOf(field, "name"), { code: "MISSING_FIELD", message });
    }
    const report = (key: string, message: string): void =>
      reportField(fieldOf(field, key), { code: "BAD_VALUE", message });
    const isNew = (what: string): boolean => seen.size < seen.add(what).size;
    if (typeof name === "string" && name !== "" && !isNew(name)) {
      report("name", `"${name}" is another port's name, too`);
    }
    if (typeof port === "number" && !isNew(`${String(protocol)} ${port}`)) {
      report("port", `${String(protocol)} ${port} is another port's, too`);
    }
    if (typeof nodePort === "number" && nodePort !== 0) {
      if (isNew(`${String(protocol)} node port ${nodePort}`)) continue;
      report("nodePort", `${String(protocol)} ${nodePort} is another port's node port, too`);
    }
  }
}

/** > may not be used when `type` is 'ClusterIP'. 0 is none, as nothing is. */
function refuseNodePort(port: Field): void {
  const field = fieldOf(port, "nodePort");
  if ((field.value ?? 0) === 0) return;
  const message = "is not allowed where type is ClusterIP, which it is by itself";
  reportField(field, { code: "BAD_VALUE", message, suggestion: "type: NodePort" });
}

function readServicePort(field: Field): WantedPort | undefined {
  checkKnownFields(field, PORT_FIELDS);
  const port = readPort(fieldOf(field, "port"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const name = readText(fieldOf(field, "name")) ?? "";
  const target = readTarget(fieldOf(field, "targetPort"));
  const nodePortField = fieldOf(field, "nodePort");
  // > 0, too, means that none is given.
  const nodePort = nodePortField.value === 0 ? undefined : readPort(nodePortField);
  if (fieldOf(field, "port").value === undefined) {
    reportField(fieldOf(field, "port"), { code: "MISSING_FIELD", message: "is required" });
  }
  if (port === undefined || protocol === undefined) return undefined;
  // > If this is not specified, the value of the 'port' field is used.
  return { name, protocol, port, target: target ?? port, nodePort };
}

/** Reads a container's port; undefined: the Service's own. */
function readTarget(field: Field): number | string | undefined {
  const { value } = field;
  // > 0 and "", too, mean that none is given.
  if (value === 0 || value === "") return undefined;
  if (typeof value !== "string") return readPort(field);
  const fault = portNameFault(value);
  if (fault !== undefined) reportField(field, { code: "BAD_PORT", message: fault });
  return value;
}

/** Reads how a Service is reached. Reports UNKNOWN_FIELD, BAD_VALUE and what the fields report. */
export function readServiceSpec(root: Field): Omit<Service, "ports"> {
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "spec", "status"]);
  const spec = recordOf(root, "spec");
  checkKnownFields(spec, SPEC_FIELDS);
  const type = readWord(fieldOf(spec, "type"), "Service type", TYPES) ?? "ClusterIP";
  for (const field of itemsOf(fieldOf(spec, "ipFamilies"))) {
    readWord(field, "address family", IP_FAMILIES);
  }
  readWord(fieldOf(spec, "ipFamilyPolicy"), "ipFamilyPolicy", FAMILY_POLICIES);
  readWord(fieldOf(spec, "trafficDistribution"), "trafficDistribution", DISTRIBUTIONS);
  if (type !== "ExternalName") checkFirstAddress(spec);
  const addresses = type === "ExternalName" ? [] : clusterAddresses(spec);
  const { namespace, name, labels } = root.object.metadata;
  const proxy = labels.get(PROXY_LABEL);
  const healthCheckPort = fieldOf(spec, "healthCheckNodePort");
  return {
    namespace,
    name,
    type,
    clusterAddresses: addresses,
    families:
      type === "ExternalName" || labels.has(HEADLESS_LABEL) ? [] : familiesOf(spec, addresses),
    ...(proxy === undefined ? {} : { proxy }),
    externalAddresses: addressesOf(itemsOf(fieldOf(spec, "externalIPs"))),
    balancerAddresses: balancerAddresses(root),
    balancerSources: itemsOf(fieldOf(spec, "loadBalancerSourceRanges"))
      .map(readSourceRange)
      .filter((prefix) => prefix !== undefined),
    internalTraffic: trafficPolicy(spec, "internalTrafficPolicy"),
    externalTraffic: trafficPolicy(spec, "externalTrafficPolicy"),
    affinitySeconds: affinitySeconds(spec),
    healthCheckPort: healthCheckPort.value === 0 ? undefined : readPort(healthCheckPort),
    place: root.object.place,
  };
}

const FAMILY_POLICIES = ["SingleStack", "PreferDualStack", "RequireDualStack"] as const;
const DISTRIBUTIONS = ["PreferClose", "PreferSameZone", "PreferSameNode"] as const;

/** > clusterIPs ... If this field is not specified, it will be initialized from the clusterIP field. */
function clusterAddresses(spec: Field): Address[] {
  return addressesOf(clusterFields(spec).filter((field) => field.value !== "None"));
}

function clusterFields(spec: Field): Field[] {
  const listed = itemsOf(fieldOf(spec, "clusterIPs"));
  return listed.length > 0 ? listed : [fieldOf(spec, "clusterIP")];
}

/** > ... and clusterIPs[0] and clusterIP must have the same value. */
function checkFirstAddress(spec: Field): void {
  const { value } = fieldOf(spec, "clusterIP");
  const [first] = itemsOfList(fieldOf(spec, "clusterIPs"));
  if (typeof value !== "string" || value === "" || typeof first?.value !== "string") return;
  if (first.value === value) return;
  const message = `is ${first.value}, and clusterIP is ${value}: they must be the same`;
  reportField(first, { code: "BAD_VALUE", message });
}

/** > These values are allowed to be space-padded. */
function readSourceRange(field: Field): Prefix | undefined {
  const text = readText(field)?.trim() ?? "";
  if (text !== "") return readPrefix(withValue(field, text));
  if (field.value === undefined || typeof field.value === "string") {
    reportField(field, { code: "BAD_PREFIX", message: "is empty" });
  }
  return undefined;
}

/** Of an object that no API server has seen yet, which addresses it will have is not known. */
function familiesOf(spec: Field, addresses: readonly Address[]): Family[] {
  if (clusterFields(spec).some((field) => field.value === "None")) return [];
  if (addresses.length > 0) return addresses.map(({ family }) => family);
  const listed = itemsOf(fieldOf(spec, "ipFamilies"));
  return listed.length === 0 ? [4, 6] : listed.map(({ value }) => (value === "IPv6" ? 6 : 4));
}

function addressesOf(fields: readonly Field[]): Address[] {
  return fields.map(readAddress).filter((address) => address !== undefined);
}

/** > "Proxy" indicates that traffic is delivered to the node or pod with the destination set to it. */
function balancerAddresses(root: Field): Address[] {
  const ingress = itemsOf(fieldOf(recordOf(recordOf(root, "status"), "loadBalancer"), "ingress"));
  return addressesOf(
    ingress
      .filter((item) => {
        checkKnownFields(item, ["hostname", "ip", "ipMode", "ports"]);
        return readWord(fieldOf(item, "ipMode"), "ipMode", ["VIP", "Proxy"]) !== "Proxy";
      })
      .map((item) => fieldOf(item, "ip")),
  );
}

function trafficPolicy(spec: Field, key: string): Service["internalTraffic"] {
  return readWord(fieldOf(spec, key), key, TRAFFIC_POLICIES) ?? "Cluster";
}

/** > must be >0 && <=86400(for 1 day) if ServiceAffinity == "ClientIP". Default value is 10800. */
function affinitySeconds(spec: Field): number | undefined {
  const affinity = readWord(fieldOf(spec, "sessionAffinity"), "sessionAffinity", [
    "None",
    "ClientIP",
  ]);
  const config = recordOf(spec, "sessionAffinityConfig");
  checkKnownFields(config, ["clientIP"]);
  const client = recordOf(config, "clientIP");
  checkKnownFields(client, ["timeoutSeconds"]);
  const field = fieldOf(client, "timeoutSeconds");
  const seconds = readInteger(field);
  if (seconds !== undefined && (seconds < 1 || seconds > 86400)) {
    reportField(field, { code: "BAD_VALUE", message: `${seconds} is not 1 to 86400 seconds` });
  }
  return affinity === "ClientIP" ? (seconds ?? 10800) : undefined;
}
