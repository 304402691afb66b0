/**
 * Services, where kube-proxy would send their connections, and whom policies mean by them. EndpointSlices
 * win over Endpoints, and both over the Service's own selector, which is what makes them in a cluster.
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
import type {
  Backend,
  Endpoint,
  PortProtocol,
  Service,
  ServiceMembers,
  ServicePort,
  Snapshot,
} from "./snapshot.ts";

const TYPES = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] as const;

/** Addresses that have the same ports and are in the same state. */
interface EndpointGroup {
  readonly addresses: readonly Address[];
  readonly ports: readonly EndpointPort[];
  readonly ready: boolean;
  /** Not ready, but still serves while it terminates. */
  readonly lastResort: boolean;
}

interface EndpointPort {
  readonly portName: string;
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** The endpoints of a Service, as far as they are known. */
interface Found {
  readonly groups: readonly EndpointGroup[];
  readonly missing?: string;
}

/** Reads the Services among the objects, with their backends and members. */
export function readServices(
  objects: readonly ManifestObject[],
  pods: readonly Pod[],
  onDiagnostic: OnDiagnostic,
): Pick<Snapshot, "services" | "membersByService"> {
  const slices = new Map<string, EndpointGroup[]>();
  const endpoints = new Map<string, EndpointGroup[]>();
  for (const object of objects) {
    const { namespace, name, labels } = object.metadata;
    if (object.kind === "EndpointSlice") {
      const service = labels.get("kubernetes.io/service-name");
      if (service === undefined) continue;
      const key = `${namespace}/${service}`;
      const groups = readSlice(rootField(object, onDiagnostic));
      slices.set(key, [...(slices.get(key) ?? []), ...groups]);
    } else if (object.kind === "Endpoints") {
      endpoints.set(`${namespace}/${name}`, readEndpoints(rootField(object, onDiagnostic)));
    }
  }
  const foundByService = new Map(
    [...endpoints, ...slices].map(([key, groups]): [string, Found] => [key, { groups }]),
  );
  const services = objects
    .filter((object) => object.kind === "Service")
    .map((object) => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      const root = rootField(object, onDiagnostic);
      const ports = readServicePorts(root);
      const found = foundByService.get(key) ?? endpointsOfSelector(root, ports, pods);
      foundByService.set(key, found);
      return readService(root, ports, found);
    });
  const membersByService = new Map(
    [...foundByService].map(([key, found]) => [key, membersOf(found)]),
  );
  return { services, membersByService };
}

function readService(root: Field, wanted: readonly WantedPort[], found: Found): Service {
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
  const ports = wanted.map((port) => ({
    name: port.name === "" ? undefined : port.name,
    protocol: port.protocol,
    port: port.port,
    ...(found.missing === undefined
      ? { backends: usable(found.groups.flatMap((group) => candidatesOf(group, port))) }
      : { backends: [], missing: found.missing }),
    ...(isLocal(spec) ? LOCAL_ONLY : {}),
  }));
  return {
    namespace,
    name,
    type: type ?? "ClusterIP",
    clusterAddresses: type === "ExternalName" ? [] : clusterAddresses(spec),
    ports,
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

/** One port of a Service. */
interface WantedPort {
  readonly name: string;
  readonly protocol: PortProtocol;
  readonly port: number;
  /** A number, or the name of a container port. */
  readonly target: number | string;
}

function readServicePorts(root: Field): WantedPort[] {
  return itemsOf(fieldOf(recordOf(root, "spec"), "ports"))
    .map(readServicePort)
    .filter((port) => port !== undefined);
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

/** The endpoints of a Service that has neither EndpointSlices nor Endpoints. */
function endpointsOfSelector(
  root: Field,
  wanted: readonly WantedPort[],
  pods: readonly Pod[],
): Found {
  const spec = recordOf(root, "spec");
  const labels = [...readTextMap(fieldOf(spec, "selector"))];
  const selector: LabelSelector = {
    requirements: labels.map(([key, value]) => ({ key, operator: "In", values: [value] })),
  };
  const chosen = pods.filter(
    ({ endpoint }) =>
      // No selector: somebody else makes the endpoints.
      labels.length > 0 &&
      endpoint.namespace === root.object.metadata.namespace &&
      selectorMatches(selector, endpoint.labels),
  );
  if (chosen.length === 0) {
    return { groups: [], missing: "it has no EndpointSlice, and its selector chooses no pod" };
  }
  const anyway = readBoolean(fieldOf(spec, "publishNotReadyAddresses")) ?? false;
  const groups = chosen.map(({ endpoint, ready, terminating }) => ({
    addresses: endpoint.addresses,
    ports: wanted.flatMap((port) => portOf(endpoint, port)),
    ready: anyway || (ready && !terminating),
    lastResort: ready && terminating,
  }));
  const nowhere = chosen.find(({ endpoint, ready }) => ready && endpoint.addresses.length === 0);
  if (nowhere === undefined) return { groups };
  const { kind, name } = nowhere.endpoint;
  return { groups, missing: `it has no EndpointSlice, and ${kind} ${name} has no address` };
}

/** What a pod has a Service's port on; none where its target is a name that the pod does not have. */
function portOf(
  { ports }: Endpoint,
  { name: portName, protocol, target }: WantedPort,
): EndpointPort[] {
  const port =
    typeof target === "number"
      ? target
      : ports.find((own) => own.name === target && own.protocol === protocol)?.port;
  return port === undefined ? [] : [{ portName, protocol, port }];
}

function membersOf({ groups, missing }: Found): ServiceMembers {
  return {
    addresses: groups.flatMap(({ addresses }) => addresses),
    ports: groups.flatMap(({ addresses, ports }) =>
      addresses.flatMap((address) =>
        ports.map(({ protocol, port }) => ({ address, protocol, port })),
      ),
    ),
    ...(missing === undefined ? {} : { missing }),
  };
}

/** One endpoint that could serve a port. */
interface Candidate extends Pick<EndpointGroup, "ready" | "lastResort"> {
  readonly backend: Backend;
}

function candidatesOf(group: EndpointGroup, wanted: WantedPort): Candidate[] {
  const { addresses, ready, lastResort } = group;
  return group.ports
    .filter(({ portName, protocol }) => portName === wanted.name && protocol === wanted.protocol)
    .flatMap(({ port }) =>
      addresses.map((address) => ({ backend: { address, port }, ready, lastResort })),
    );
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

function readSlice(root: Field): EndpointGroup[] {
  // Names to look up elsewhere; kube-proxy does not serve them.
  if (fieldOf(root, "addressType").value === "FQDN") return [];
  const ports = itemsOf(fieldOf(root, "ports")).flatMap(readEndpointPort);
  return itemsOf(fieldOf(root, "endpoints")).map((item) => {
    const conditions = recordOf(item, "conditions");
    // > A nil value should be interpreted as "true" (ready), defaults to ready (serving), false (terminating).
    const ready = readBoolean(fieldOf(conditions, "ready")) ?? true;
    const serving = readBoolean(fieldOf(conditions, "serving")) ?? ready;
    const terminating = readBoolean(fieldOf(conditions, "terminating")) ?? false;
    const addresses = itemsOf(fieldOf(item, "addresses")).flatMap(
      (field) => readAddress(field) ?? [],
    );
    return { addresses, ports, ready, lastResort: serving && terminating };
  });
}

/** Those that are not ready become endpoints of slices too, which say so. */
function readEndpoints(root: Field): EndpointGroup[] {
  return itemsOf(fieldOf(root, "subsets")).flatMap((subset) => {
    const ports = itemsOf(fieldOf(subset, "ports")).flatMap(readEndpointPort);
    const group = (key: string, ready: boolean): EndpointGroup => {
      const addresses = itemsOf(fieldOf(subset, key)).flatMap(
        (item) => readAddress(fieldOf(item, "ip")) ?? [],
      );
      return { addresses, ports, ready, lastResort: false };
    };
    return [group("addresses", true), group("notReadyAddresses", false)];
  });
}

function readEndpointPort(field: Field): EndpointPort[] {
  const port = readPort(fieldOf(field, "port"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const portName = readText(fieldOf(field, "name")) ?? "";
  return port === undefined || protocol === undefined ? [] : [{ portName, protocol, port }];
}

/** Orders IPv4 before IPv6, then by value. */
function compareAddresses(one: Address, other: Address): number {
  if (one.family !== other.family) return one.family - other.family;
  const index = one.words.findIndex((word, position) => word !== other.words[position]);
  return (one.words[index] ?? 0) - (other.words[index] ?? 0);
}
