/**
 * The endpoints of Services, whoever tells them: EndpointSlices, Endpoints, or the Service's own selector.
 * Source: kubernetes pkg/proxy/endpointslicecache.go.
 */
import { formatAddress, type Address } from "../net/address.ts";
import { compareText } from "../net/compare-text.ts";
import {
  checkKnownFields,
  fieldOf,
  itemsOf,
  readBoolean,
  readText,
  readTextMap,
  recordOf,
  reportField,
  type Field,
} from "./fields.ts";
import type { Pod } from "./pods.ts";
import { readAddress, readPort, readProtocol, readWord } from "./read-network.ts";
import { selectorMatches, type LabelSelector } from "./selector.ts";
import type { WantedPort } from "./service-spec.ts";
import type { Endpoint, PortProtocol, ServiceBackend, ServiceMembers } from "./snapshot.ts";

/** Addresses that have the same ports and are in the same state. */
export interface EndpointGroup extends Pick<
  ServiceBackend,
  "node" | "nowhere" | "zoneHints" | "nodeHints"
> {
  readonly addresses: readonly Address[];
  readonly ports: readonly EndpointPort[];
  readonly ready: boolean;
  /** Not ready, but still serves while it terminates. */
  readonly lastResort: boolean;
  /** kube-proxy does not see it; policies do. */
  readonly unseen?: true;
}

interface EndpointPort {
  readonly portName: string;
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** The endpoints of a Service, as far as they are known. */
export interface Found {
  readonly groups: readonly EndpointGroup[];
  readonly missing?: string;
}

/** Finds the node of an address, where pods tell it. */
export type NodeOf = (address: Address) => string | undefined;

/** Makes the finder of a snapshot's pods. */
export function nodesOfPods(pods: readonly Pod[]): NodeOf {
  const nodeByAddress = new Map(
    pods.flatMap(({ endpoint: { addresses, node } }) =>
      addresses.map((address) => [formatAddress(address), node] as const),
    ),
  );
  return (address) => nodeByAddress.get(formatAddress(address));
}

/** The endpoints of a Service that has neither EndpointSlices nor Endpoints. */
export function endpointsOfSelector(
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
    node: endpoint.node,
  }));
  const nowhere = chosen.find(({ endpoint, ready }) => ready && endpoint.addresses.length === 0);
  if (nowhere === undefined) return { groups };
  const { kind, name } = nowhere.endpoint;
  return { groups, missing: `it has no EndpointSlice, and ${kind} ${name} has no address` };
}

/**
 * What a pod has a Service's port on; none where its target is a name that no container of the pod has that goes on
 * running.
 * Source: kubernetes pkg/api/v1/pod, FindPort().
 */
function portOf(
  { ports }: Endpoint,
  { name: portName, protocol, target }: WantedPort,
): EndpointPort[] {
  const port =
    typeof target === "number"
      ? target
      : ports.find(
          ({ name, protocol: own, init }) => name === target && own === protocol && init !== "ends",
        )?.port;
  return port === undefined ? [] : [{ portName, protocol, port }];
}

/** Whom policies mean by a Service. */
export function membersOf({ groups, missing }: Found): ServiceMembers {
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

/** The endpoints that can serve a port, each once, ordered as kube-proxy orders them: by their text. */
export function backendsOf(
  groups: readonly EndpointGroup[],
  wanted: WantedPort,
  nodeOf: NodeOf,
): ServiceBackend[] {
  const backends = new Map<string, ServiceBackend>();
  for (const { group, address, port } of socketsOf(groups, wanted)) {
    const { ready, lastResort, nowhere, zoneHints, nodeHints } = group;
    if (!ready && !lastResort) continue;
    const where =
      nowhere === true ? { node: undefined, nowhere } : { node: group.node ?? nodeOf(address) };
    const text = socketText({ address, port });
    backends.set(text, { address, port, ready, ...where, zoneHints, nodeHints });
  }
  return [...backends.values()].sort(
    (one, other) =>
      one.address.family - other.address.family || (socketText(one) < socketText(other) ? -1 : 1),
  );
}

/**
 * An endpoint of a port of which several slices say different things, in words: > kube-proxy takes what one of them
 * says, its own node's or, newer ones, one that does not terminate, else in no certain order.
 */
export function contradictionOf(
  groups: readonly EndpointGroup[],
  wanted: WantedPort,
): string | undefined {
  const said = new Map<string, string>();
  for (const { group, address, port } of socketsOf(groups, wanted)) {
    const text = socketText({ address, port });
    const { ready, lastResort, node, zoneHints, nodeHints } = group;
    const hints = [zoneHints, nodeHints].map((names = []) => names.toSorted(compareText));
    const words = JSON.stringify([ready, lastResort, node, hints]);
    if ((said.get(text) ?? words) !== words) return `its EndpointSlices differ about ${text}`;
    said.set(text, words);
  }
  return undefined;
}

interface Socket {
  readonly group: EndpointGroup;
  readonly address: Address;
  readonly port: number;
}

/** What kube-proxy sees of a port. */
function* socketsOf(groups: readonly EndpointGroup[], wanted: WantedPort): Generator<Socket> {
  for (const group of groups) {
    if (group.unseen === true) continue;
    for (const { portName, protocol, port } of group.ports) {
      if (portName !== wanted.name || protocol !== wanted.protocol) continue;
      for (const address of group.addresses) yield { group, address, port };
    }
  }
}

function socketText({ address, port }: Pick<Socket, "address" | "port">): string {
  return `${formatAddress(address)}:${port}`;
}

/** Reads an EndpointSlice. Reports UNKNOWN_FIELD, BAD_VALUE and what the fields report. */
export function readSlice(root: Field): EndpointGroup[] {
  checkKnownFields(root, ["addressType", "apiVersion", "endpoints", "kind", "metadata", "ports"]);
  const type = readWord(fieldOf(root, "addressType"), "addressType", ["IPv4", "IPv6", "FQDN"]);
  // Names to look up elsewhere; kube-proxy does not serve them.
  if (type === "FQDN") return [];
  const ports = itemsOf(fieldOf(root, "ports")).flatMap(readEndpointPort);
  return itemsOf(fieldOf(root, "endpoints")).flatMap((item) => {
    checkKnownFields(item, SLICE_ENDPOINT_FIELDS);
    const conditions = recordOf(item, "conditions");
    checkKnownFields(conditions, ["ready", "serving", "terminating"]);
    const ready = readBoolean(fieldOf(conditions, "ready")) ?? true;
    // > Serving: cond.Serving == nil || *cond.Serving, whatever `ready` says.
    const serving = readBoolean(fieldOf(conditions, "serving")) ?? true;
    const terminating = readBoolean(fieldOf(conditions, "terminating")) ?? false;
    const addresses = itemsOf(fieldOf(item, "addresses")).flatMap((field) =>
      readAddressOfType(field, type),
    );
    const hints = recordOf(item, "hints");
    checkKnownFields(hints, ["forNodes", "forZones"]);
    const node = nodeOfEndpoint(item);
    const group = {
      ports,
      ready,
      lastResort: serving && terminating,
      node,
      // > isLocal: endpoint.NodeName != nil && ...
      ...(node === undefined ? { nowhere: true as const } : {}),
      zoneHints: namesOf(fieldOf(hints, "forZones")),
      nodeHints: namesOf(fieldOf(hints, "forNodes")),
    };
    // > Only the first address is used by kube-proxy.
    const [first, ...others] = addresses;
    return [
      ...(first === undefined ? [] : [{ ...group, addresses: [first] }]),
      ...(others.length === 0 ? [] : [{ ...group, addresses: others, unseen: true as const }]),
    ];
  });
}

const SLICE_ENDPOINT_FIELDS = [
  "addresses",
  "conditions",
  "deprecatedTopology",
  "hints",
  "hostname",
  "nodeName",
  "targetRef",
  // Of v1beta1, where the node's name was in it.
  "topology",
  "zone",
];

function nodeOfEndpoint(item: Field): string | undefined {
  const named = readText(fieldOf(item, "nodeName"));
  const node = named ?? readText(fieldOf(fieldOf(item, "topology"), "kubernetes.io/hostname"));
  return node === "" ? undefined : node;
}

function namesOf(field: Field): string[] {
  return itemsOf(field).flatMap((item) => readText(fieldOf(item, "name")) ?? []);
}

/** > All endpoints in a slice must be the same type. */
function readAddressOfType(field: Field, type: "IPv4" | "IPv6" | undefined): Address[] {
  const address = readAddress(field);
  if (address === undefined) return [];
  if (type === undefined || type === `IPv${address.family}`) return [address];
  const message = `${formatAddress(address)} is not of the slice's addressType ${type}`;
  reportField(field, { code: "BAD_ADDRESS", message });
  return [];
}

/** Reads Endpoints. Those that are not ready become endpoints of slices too, which say so. */
export function readEndpoints(root: Field): EndpointGroup[] {
  checkKnownFields(root, ["apiVersion", "kind", "metadata", "subsets"]);
  return itemsOf(fieldOf(root, "subsets")).flatMap((subset) => {
    checkKnownFields(subset, ["addresses", "notReadyAddresses", "ports"]);
    const ports = itemsOf(fieldOf(subset, "ports")).flatMap(readEndpointPort);
    const groups = (key: string, ready: boolean): EndpointGroup[] =>
      itemsOf(fieldOf(subset, key)).map((item) => {
        checkKnownFields(item, ["hostname", "ip", "nodeName", "targetRef"]);
        const address = readAddress(fieldOf(item, "ip"));
        const addresses = address === undefined ? [] : [address];
        const node = readText(fieldOf(item, "nodeName"));
        return { addresses, ports, ready, lastResort: false, node };
      });
    return [...groups("addresses", true), ...groups("notReadyAddresses", false)];
  });
}

/** Tells whether Kubernetes makes a Service's endpoints itself. */
export function hasSelector(root: Field): boolean {
  return readTextMap(fieldOf(recordOf(root, "spec"), "selector")).size > 0;
}

/**
 * What becomes of Endpoints that somebody wrote for a Service without a selector: a controller makes slices of them.
 * > NodeName: address.NodeName. Source: kubernetes pkg/controller/endpointslicemirroring, addressToEndpoint().
 */
export function mirrored({ groups, ...rest }: Found): Found {
  const slices = groups.map((group) =>
    group.node === undefined ? { ...group, nowhere: true as const } : group,
  );
  return { groups: slices, ...rest };
}

function readEndpointPort(field: Field): EndpointPort[] {
  checkKnownFields(field, ["appProtocol", "name", "port", "protocol"]);
  const port = readPort(fieldOf(field, "port"));
  const protocol = readProtocol(fieldOf(field, "protocol"));
  const portName = readText(fieldOf(field, "name")) ?? "";
  return port === undefined || protocol === undefined ? [] : [{ portName, protocol, port }];
}
