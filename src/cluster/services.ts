/**
 * Services and where kube-proxy would send their connections. EndpointSlices win over Endpoints, and
 * both over the Service's own selector, which is what makes them in a cluster.
 * Source: kubernetes pkg/proxy (endpointslicecache.go, topology.go CategorizeEndpoints).
 */
import type { OnDiagnostic } from "../errors.ts";
import type { Address } from "../net/address.ts";
import {
  fieldOf,
  itemsOf,
  readBoolean,
  readText,
  readTextMap,
  recordOf,
  reportField,
  rootField,
  suggestionFor,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import type { Pod } from "./pods.ts";
import { readAddress, readPort, readProtocol } from "./read-network.ts";
import { selectorMatches, type LabelSelector } from "./selector.ts";
import type { Backend, PortProtocol, Service, ServicePort } from "./snapshot.ts";

const TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const;

/** One endpoint that could serve one port of a Service. */
interface Candidate {
  readonly portName: string;
  readonly protocol: PortProtocol;
  readonly backend: Backend;
  readonly ready: boolean;
  /** Not ready, but still serves while it terminates. */
  readonly lastResort: boolean;
}

/** Reads the Services among the objects, with their backends. */
export function readServices(
  objects: readonly ManifestObject[],
  pods: readonly Pod[],
  onDiagnostic: OnDiagnostic,
): Service[] {
  const slices = new Map<string, Candidate[]>();
  const endpoints = new Map<string, Candidate[]>();
  for (const object of objects) {
    const { namespace, name, labels } = object.metadata;
    if (object.kind === "EndpointSlice") {
      const service = labels.get("kubernetes.io/service-name");
      if (service === undefined) continue;
      const key = `${namespace}/${service}`;
      const candidates = readSlice(rootField(object, onDiagnostic));
      slices.set(key, [...(slices.get(key) ?? []), ...candidates]);
    } else if (object.kind === "Endpoints") {
      endpoints.set(`${namespace}/${name}`, readEndpoints(rootField(object, onDiagnostic)));
    }
  }
  return objects
    .filter((object) => object.kind === "Service")
    .map((object) => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      const candidates = slices.get(key) ?? endpoints.get(key);
      return readService(rootField(object, onDiagnostic), candidates, pods);
    });
}

function readService(
  root: Field,
  candidates: readonly Candidate[] | undefined,
  pods: readonly Pod[],
): Service {
  const spec = recordOf(root, "spec");
  const typeField = fieldOf(spec, "type");
  const written = readText(typeField);
  const type = TYPES.find((known) => known === (written ?? "ClusterIP"));
  if (type === undefined) {
    reportField(typeField, {
      code: "BAD_VALUE",
      message: `"${written ?? ""}" is no Service type: one of ${TYPES.join(", ")}`,
      suggestion: suggestionFor(written ?? "", TYPES),
    });
  }
  const { namespace, name } = root.object.metadata;
  const portFields = itemsOf(fieldOf(spec, "ports"));
  const ports = portFields.map((field) => {
    const port = readServicePort(field);
    if (port === undefined) return undefined;
    const found =
      candidates === undefined
        ? backendsOfSelector(spec, { ...port, namespace, pods })
        : chosenOf(candidates.filter((one) => serves(one, port)));
    return {
      name: port.name === "" ? undefined : port.name,
      protocol: port.protocol,
      port: port.port,
      ...found,
      ...(isLocal(spec) ? LOCAL_ONLY : {}),
    };
  });
  return {
    namespace,
    name,
    type: type ?? "ClusterIP",
    clusterAddresses: type === "ExternalName" ? [] : clusterAddresses(spec),
    ports: ports.filter((port) => port !== undefined),
    place: root.object.place,
  };
}

/** Which backends are meant then depends on the client's node, of which a Service says nothing. */
const LOCAL_ONLY: Pick<ServicePort, "backends" | "missing"> = {
  backends: [],
  missing: "internalTrafficPolicy is Local, and which backends a client's node has is not modelled",
};

function isLocal(spec: Field): boolean {
  return readText(fieldOf(spec, "internalTrafficPolicy")) === "Local";
}

/** > clusterIPs ... If this field is not specified, it will be initialized from the clusterIP field. */
function clusterAddresses(spec: Field): Address[] {
  const listed = itemsOf(fieldOf(spec, "clusterIPs"));
  const fields = listed.length > 0 ? listed : [fieldOf(spec, "clusterIP")];
  return fields
    .filter((field) => field.value !== "None")
    .map(readAddress)
    .filter((address) => address !== undefined);
}

interface WantedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: number;
  /** A number, or the name of a container port. */
  readonly target: number | string;
}

function readServicePort(field: Field): WantedPort | undefined {
  const port = readPort(fieldOf(field, "port"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const name = readText(fieldOf(field, "name")) ?? "";
  const targetField = fieldOf(field, "targetPort");
  const named = typeof targetField.value === "string";
  const target = named ? readText(targetField) : readPort(targetField);
  if (fieldOf(field, "port").value === undefined) {
    reportField(fieldOf(field, "port"), { code: "MISSING_FIELD", message: "is required" });
  }
  if (port === undefined || protocol === undefined) return undefined;
  // > If this is not specified, the value of the 'port' field is used.
  return { name, protocol, port, target: target ?? port };
}

function serves(candidate: Candidate, port: WantedPort): boolean {
  return candidate.portName === port.name && candidate.protocol === port.protocol;
}

/** The backends of a Service that has neither EndpointSlices nor Endpoints. */
function backendsOfSelector(
  spec: Field,
  wanted: WantedPort & { readonly namespace: string; readonly pods: readonly Pod[] },
): Found {
  const selectorField = fieldOf(spec, "selector");
  const labels = [...readTextMap(selectorField)];
  const selector: LabelSelector = {
    requirements: labels.map(([key, value]) => ({ key, operator: "In", values: [value] })),
  };
  const chosen = wanted.pods.filter(
    ({ endpoint }) =>
      // No selector: somebody else makes the endpoints.
      labels.length > 0 &&
      endpoint.namespace === wanted.namespace &&
      selectorMatches(selector, endpoint.labels),
  );
  if (chosen.length === 0) {
    return {
      backends: [],
      members: [],
      missing: "it has no EndpointSlice, and its selector chooses no pod",
    };
  }
  const anyway = readBoolean(fieldOf(spec, "publishNotReadyAddresses")) ?? false;
  const candidates: Candidate[] = [];
  for (const { endpoint, ready, terminating } of chosen) {
    if (ready && endpoint.addresses.length === 0) {
      const missing = `it has no EndpointSlice, and ${endpoint.kind} ${endpoint.name} has no address`;
      return { backends: [], members: [], missing };
    }
    const port =
      typeof wanted.target === "number"
        ? wanted.target
        : endpoint.ports.find(
            ({ name, protocol }) => name === wanted.target && protocol === wanted.protocol,
          )?.port;
    if (port === undefined) continue;
    for (const address of endpoint.addresses) {
      candidates.push({
        portName: wanted.name,
        protocol: wanted.protocol,
        backend: { address, port },
        ready: anyway || (ready && !terminating),
        lastResort: ready && terminating,
      });
    }
  }
  return chosenOf(candidates);
}

/** What is known of the endpoints of one port. */
type Found = Pick<ServicePort, "backends" | "members" | "missing">;

function chosenOf(candidates: readonly Candidate[]): Found {
  const members = candidates.map(({ backend }) => backend);
  return { backends: usable(candidates), members: inOrder(members) };
}

/** Chooses among candidates, family by family, as there is a kube-proxy for each. */
function usable(candidates: readonly Candidate[]): Backend[] {
  const chosen: Backend[] = [];
  for (const family of [4, 6]) {
    const own = candidates.filter(({ backend }) => backend.address.family === family);
    const ready = own.filter((candidate) => candidate.ready);
    const fallback = own.filter((candidate) => candidate.lastResort);
    for (const { backend } of ready.length > 0 ? ready : fallback) chosen.push(backend);
  }
  return inOrder(chosen);
}

/** Each once, by address, then port. */
function inOrder(backends: readonly Backend[]): Backend[] {
  const unique = new Map(backends.map((backend) => [JSON.stringify(backend), backend]));
  return [...unique.values()].sort(
    (one, other) => compareAddresses(one.address, other.address) || one.port - other.port,
  );
}

function readSlice(root: Field): Candidate[] {
  // Names to look up elsewhere; kube-proxy does not serve them.
  if (fieldOf(root, "addressType").value === "FQDN") return [];
  const ports = itemsOf(fieldOf(root, "ports")).flatMap(readEndpointPort);
  return itemsOf(fieldOf(root, "endpoints")).flatMap((item) => {
    const conditions = recordOf(item, "conditions");
    // > A nil value should be interpreted as "true" (ready), defaults to ready (serving), false (terminating).
    const ready = readBoolean(fieldOf(conditions, "ready")) ?? true;
    const serving = readBoolean(fieldOf(conditions, "serving")) ?? ready;
    const terminating = readBoolean(fieldOf(conditions, "terminating")) ?? false;
    const addresses = itemsOf(fieldOf(item, "addresses")).map(readAddress);
    return combine(addresses, ports, { ready, lastResort: serving && terminating });
  });
}

function readEndpoints(root: Field): Candidate[] {
  return itemsOf(fieldOf(root, "subsets")).flatMap((subset) => {
    const ports = itemsOf(fieldOf(subset, "ports")).flatMap(readEndpointPort);
    const addresses = itemsOf(fieldOf(subset, "addresses")).map((item) =>
      readAddress(fieldOf(item, "ip")),
    );
    return combine(addresses, ports, { ready: true, lastResort: false });
  });
}

type EndpointPort = Pick<Candidate, "portName" | "protocol"> & { readonly port: number };

function readEndpointPort(field: Field): EndpointPort[] {
  const port = readPort(fieldOf(field, "port"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const portName = readText(fieldOf(field, "name")) ?? "";
  return port === undefined || protocol === undefined ? [] : [{ portName, protocol, port }];
}

function combine(
  addresses: readonly (Address | undefined)[],
  ports: readonly EndpointPort[],
  state: Pick<Candidate, "ready" | "lastResort">,
): Candidate[] {
  return addresses
    .filter((address) => address !== undefined)
    .flatMap((address) =>
      ports.map(({ portName, protocol, port }) => ({
        portName,
        protocol,
        backend: { address, port },
        ...state,
      })),
    );
}

/** Orders IPv4 before IPv6, then by value. */
function compareAddresses(one: Address, other: Address): number {
  if (one.family !== other.family) return one.family - other.family;
  const index = one.words.findIndex((word, position) => word !== other.words[position]);
  return (one.words[index] ?? 0) - (other.words[index] ?? 0);
}
