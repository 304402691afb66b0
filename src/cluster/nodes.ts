/** Nodes and namespaces, read from their objects and from what other objects mention. */
import type { OnDiagnostic } from "../errors.ts";
import { parsePrefix, sameAddress, type Address, type Prefix } from "../net/address.ts";
import {
  fieldOf,
  itemsOf,
  neededOf,
  readText,
  recordOf,
  recordsOf,
  rootField,
  withValue,
  type Field,
} from "./fields.ts";
import type { ManifestObject } from "./manifest-object.ts";
import { readAddress, readPrefix } from "./read-network.ts";
import type { ClusterNode, Namespace, TunnelKind } from "./snapshot.ts";

/** The label that the API server gives every namespace, its value the name. */
export const NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name";

/** Annotations in which Calico keeps the addresses of a node's tunnel devices. */
const TUNNEL_ANNOTATIONS: readonly (readonly [string, TunnelKind])[] = [
  ["projectcalico.org/IPv4IPIPTunnelAddr", "ipip"],
  ["projectcalico.org/IPv4VXLANTunnelAddr", "vxlan"],
  ["projectcalico.org/IPv6VXLANTunnelAddr", "vxlan"],
  ["projectcalico.org/IPv4WireguardInterfaceAddr", "wireguard"],
  ["projectcalico.org/IPv6WireguardInterfaceAddr", "wireguard"],
];

/** Those in which it keeps the address that it has found for the node, with the bits of its subnet. */
const HOST_ANNOTATIONS = ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"];

/** By which flannel tells how it wraps; of the device it has the first address of the node's range of pods. */
const FLANNEL_BACKEND = "flannel.alpha.coreos.com/backend-type";
const FLANNEL_TUNNELS: ReadonlySet<string | undefined> = new Set([
  "vxlan",
  "wireguard",
  "ipip",
  "udp",
]);

/** A node and the ranges that its pods get their addresses from. */
export interface NodeWithRanges {
  readonly node: ClusterNode;
  readonly podPrefixes: readonly Prefix[];
}

/** Reads a Node. */
export function readNode(object: ManifestObject, onDiagnostic: OnDiagnostic): NodeWithRanges {
  const root = rootField(object, onDiagnostic);
  const annotations = recordOf(fieldOf(root, "metadata"), "annotations");
  const told = recordsOf(fieldOf(recordOf(root, "status"), "addresses")).flatMap((item) => {
    const type = readText(neededOf(item, "type")) ?? "";
    const address = type.endsWith("IP") ? readAddress(neededOf(item, "address")) : undefined;
    return address === undefined ? [] : [{ type, address }];
  });
  const ofCalico = TUNNEL_ANNOTATIONS.flatMap(([key, kind]) => {
    const address = readAddress(fieldOf(annotations, key));
    return address === undefined ? [] : [{ kind, address }];
  });
  const noted = HOST_ANNOTATIONS.map((key) => fieldOf(annotations, key));
  const found = noted.flatMap(readHostAddress);
  const internal = [
    ...found,
    ...told.filter(({ type }) => type === "InternalIP").map(({ address }) => address),
  ];
  const ofTunnels = ofCalico.map(({ address }) => address);
  const internalAddresses = uniqueAddresses([...internal, ...ofTunnels]);
  const addresses = uniqueAddresses([
    ...told.map(({ address }) => address),
    ...found,
    ...ofTunnels,
  ]);
  const spec = recordOf(root, "spec");
  const ranges = itemsOf(fieldOf(spec, "podCIDRs"));
  const podPrefixes = (ranges.length > 0 ? ranges : [fieldOf(spec, "podCIDR")])
    .map(readPrefix)
    .filter((prefix) => prefix !== undefined);
  const byFlannel = FLANNEL_TUNNELS.has(readText(fieldOf(annotations, FLANNEL_BACKEND)));
  const ofFlannel = byFlannel ? podPrefixes.map(({ address }) => address) : [];
  const { name, labels } = object.metadata;
  return {
    node: {
      name,
      labels,
      addresses,
      internalAddresses,
      ownAddresses: uniqueAddresses([
        ...(internalAddresses.length > 0 ? internalAddresses : addresses),
        ...ofFlannel,
      ]),
      hostAddresses: hostAddresses(internal),
      subnets: noted.flatMap(readHostSubnet),
      tunnels: [
        ...ofCalico,
        ...ofFlannel.map((address) => ({ kind: "flannel" as const, address })),
      ],
      place: object.place,
    },
    podPrefixes,
  };
}

function readHostAddress(field: Field): Address[] {
  const prefix = readText(field)?.split("/")[0];
  const address = readAddress(withValue(field, prefix));
  return address === undefined ? [] : [address];
}

/** Without bits it says no subnet. */
function readHostSubnet(field: Field): Prefix[] {
  // What is wrong with the address is said by whoever reads that.
  const parsed = parsePrefix(readText(field) ?? "");
  return parsed === undefined ? [] : [parsed.prefix];
}

/** The first of each family. */
function hostAddresses(addresses: readonly Address[]): Address[] {
  return addresses.filter(
    ({ family }, index) => addresses.findIndex((other) => other.family === family) === index,
  );
}

function uniqueAddresses(addresses: readonly Address[]): Address[] {
  return addresses.filter(
    (one, index) => addresses.findIndex((other) => sameAddress(one, other)) === index,
  );
}

/** Makes the namespace of a Namespace object. */
export function readNamespace({ metadata, place }: ManifestObject): Namespace {
  const { name } = metadata;
  return { name, labels: new Map([...metadata.labels, [NAMESPACE_NAME_LABEL, name]]), place };
}

/** Makes a namespace of which only the name is known. */
export function mentionedNamespace(name: string): Namespace {
  return { name, labels: new Map([[NAMESPACE_NAME_LABEL, name]]), place: undefined };
}
