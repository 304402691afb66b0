/**
 * Every chain, set and interface name, in one block, as Felix (Calico 3.32 and later) and kube-proxy
 * build them, so that compiled tables read like a real node's and can be compared with one.
 * Source: libcalico-go hash.GetLengthLimitedID and hash.MakeUniqueID; kube-proxy portProtoHash.
 */
import { sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256 } from "@noble/hashes/sha2.js";
import { sha3_224 } from "@noble/hashes/sha3.js";
import type { PortProtocol, TunnelKind } from "../cluster/snapshot.ts";
import type { Address, Family } from "../net/address.ts";
import { formatAddress } from "../net/address.ts";
import { formatPolicyName } from "../policy/model.ts";
import type { Direction, PolicyKindName, PolicyRef } from "../policy/model.ts";
import { TextDigest } from "./text-digest.ts";

/** What every workload interface begins with; `-i cali+` tells pods from the rest. */
export const WORKLOAD_INTERFACE_PREFIX = "cali";
/** The interface of everything that is not a local pod. */
export const NODE_INTERFACE = "eth0";
// Ours begin with a slash, which no interface's name has. Source: Linux, dev_valid_name().
/** One that host endpoints tell of and nothing names; with a number behind it where there are several. */
export const UNNAMED_INTERFACE = "/unnamed";
/** What is called so that only a capture names, where no rule is for it. */
export const OTHER_INTERFACE = "/other";
/** That of what a node sends to itself. */
export const LOOPBACK_INTERFACE = "lo";

/** What the names of all of Calico's chains begin with. */
export const CHAIN_PREFIX = "cali-";
// Static chains: one for each built-in chain that Calico hooks, named for it.
export const CHAIN_INPUT = "cali-INPUT";
export const CHAIN_FORWARD = "cali-FORWARD";
export const CHAIN_OUTPUT = "cali-OUTPUT";
/** Pod to its own node: the pod's egress policy, then the node's own word. */
export const CHAIN_WORKLOAD_TO_HOST = "cali-wl-to-host";
export const CHAIN_PREROUTING = "cali-PREROUTING";
export const CHAIN_POSTROUTING = "cali-POSTROUTING";
/** Prefixes that a pod may send from beside its own; nothing here gives any. */
export const CHAIN_RPF_SKIP = "cali-rpf-skip";
/** Ours: protocols that an implementation drops, and those of which it is not known. */
export const CHAIN_DROPPED_PROTOCOLS = "netverdict-dropped-protocols";
export const CHAIN_OPEN_PROTOCOLS = "netverdict-open-protocols";
/** Ranges of Services that BGP tells; none are read. */
export const CHAIN_CIDR_BLOCK = "cali-cidr-block";
/** Addresses that lead to pods beside their own; none are read. */
export const CHAIN_FLOATING_DNAT = "cali-fip-dnat";
export const CHAIN_FLOATING_SNAT = "cali-fip-snat";
/** What pods send out of the cluster. */
export const CHAIN_NAT_OUTGOING = "cali-nat-outgoing";
// The CNI plugin portmap's: ports of the node that lead to pods.
export const CHAIN_HOST_PORTS = "CNI-HOSTPORT-DNAT";
export const CHAIN_HOST_PORT_MARK = "CNI-HOSTPORT-SETMARK";
export const CHAIN_HOST_PORT_MASQUERADE = "CNI-HOSTPORT-MASQ";
const HOST_PORT_PREFIX = "CNI-DN-";
// Sets that every node has.
export const SET_MASQUERADED_POOLS = "masq-ipam-pools";
export const SET_NETWORK_POOLS = "network-ip-pools";
/** Before 3.32, with the pools for load balancers in it. */
export const SET_ALL_POOLS = "all-ipam-pools";
export const SET_ALL_HOSTS = "all-hosts-net";
export const SET_VXLAN_SOURCES = "all-vxlan-net";
/** Devices that wrap packets on their way to other nodes, by family. */
export const TUNNEL_DEVICE: Readonly<Record<TunnelKind, { readonly [F in Family]: string }>> = {
  ipip: { 4: "tunl0", 6: "tunl0" },
  vxlan: { 4: "vxlan.calico", 6: "vxlan-v6.calico" },
  wireguard: { 4: "wireguard.cali", 6: "wg-v6.cali" },
  // > With VXLAN, as nearly everywhere.
  flannel: { 4: "flannel.1", 6: "flannel-v6.1" },
};

/** One for all of them, where nodes are seen as one. */
export const TUNNEL_INTERFACE = "/tunnel";

/** Tells whether an interface is one of those. */
export function isTunnelDevice(name: string): boolean {
  return Object.values(TUNNEL_DEVICE).some((device) => device[4] === name || device[6] === name);
}

// Dispatch: by interface name to the endpoint's chain.
export const CHAIN_DISPATCH: Readonly<Record<Direction, string>> = {
  egress: "cali-from-wl-dispatch",
  ingress: "cali-to-wl-dispatch",
};
/** The same for host endpoints: from one is its ingress. */
export const CHAIN_HOST_DISPATCH: Readonly<Record<Direction, string>> = {
  ingress: "cali-from-host-endpoint",
  egress: "cali-to-host-endpoint",
};
export const CHAIN_HOST_FORWARD_DISPATCH: Readonly<Record<Direction, string>> = {
  ingress: "cali-from-hep-forward",
  egress: "cali-to-hep-forward",
};
export const CHAIN_FAILSAFE: Readonly<Record<Direction, string>> = {
  ingress: "cali-failsafe-in",
  egress: "cali-failsafe-out",
};
const HOST_PREFIX: Readonly<Record<Direction, string>> = {
  ingress: "cali-fh-",
  egress: "cali-th-",
};
const HOST_FORWARD_PREFIX: Readonly<Record<Direction, string>> = {
  ingress: "cali-fhfw-",
  egress: "cali-thfw-",
};
/** What Felix calls the interface of a host endpoint for all of them. */
export const ANY_INTERFACE = "any-interface-at-all";
// "From workload" is the pod's egress, "to workload" its ingress.
const ENDPOINT_PREFIX: Readonly<Record<Direction, string>> = {
  egress: "cali-fw-",
  ingress: "cali-tw-",
};
// Policy inbound and outbound: short, because the policy's own name follows.
const POLICY_PREFIX: Readonly<Record<Direction, string>> = {
  egress: "cali-po-",
  ingress: "cali-pi-",
};
// Policy group inbound and outbound: policies of one selector behind one jump.
const POLICY_GROUP_PREFIX: Readonly<Record<Direction, string>> = {
  egress: "cali-go-",
  ingress: "cali-gi-",
};
// The kind comes before the policy's name, in short: names of two kinds can be the same.
const KIND_PREFIX: Readonly<Record<PolicyKindName, string>> = {
  "networking.k8s.io NetworkPolicy": "knp",
  "projectcalico.org NetworkPolicy": "np",
  "projectcalico.org GlobalNetworkPolicy": "gnp",
  // What they are once they are enforced.
  "projectcalico.org StagedNetworkPolicy": "np",
  "projectcalico.org StagedGlobalNetworkPolicy": "gnp",
  "projectcalico.org StagedKubernetesNetworkPolicy": "knp",
  "policy.networking.k8s.io AdminNetworkPolicy": "kanp",
  "policy.networking.k8s.io BaselineAdminNetworkPolicy": "kbanp",
  "policy.networking.k8s.io ClusterNetworkPolicy": "kcnp",
};
// Profile inbound and outbound: what applies where no policy does.
const PROFILE_PREFIX: Readonly<Record<Direction, string>> = {
  egress: "cali-pro-",
  ingress: "cali-pri-",
};

export const CHAIN_KUBE_SERVICES = "KUBE-SERVICES";
export const CHAIN_KUBE_EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES";
export const CHAIN_KUBE_NODEPORTS = "KUBE-NODEPORTS";
export const CHAIN_KUBE_PROXY_FIREWALL = "KUBE-PROXY-FIREWALL";
export const CHAIN_KUBE_FIREWALL = "KUBE-FIREWALL";
export const CHAIN_KUBE_FORWARD = "KUBE-FORWARD";
export const CHAIN_KUBE_POSTROUTING = "KUBE-POSTROUTING";
export const CHAIN_KUBE_MARK_MASQ = "KUBE-MARK-MASQ";

/** XT_EXTENSION_MAXNAMELEN is 29, the NUL included. */
const LONGEST_CHAIN_NAME = 28;
/** IPSET_MAXNAMELEN is 32, the NUL included. */
const LONGEST_SET_NAME = 31;
/** IFNAMSIZ is 16, the NUL included. */
const LONGEST_INTERFACE_NAME = 15;

/** The chain of an endpoint's interface in one direction. */
export function endpointChainName(direction: Direction, interfaceName: string): string {
  return limitedName(ENDPOINT_PREFIX[direction], interfaceName);
}

/** The chain of a host endpoint's interface in one direction, for its own traffic or for what is forwarded. */
export function hostChainName(
  direction: Direction,
  interfaceName: string,
  traffic: "own" | "forwarded",
): string {
  const prefix = traffic === "own" ? HOST_PREFIX : HOST_FORWARD_PREFIX;
  return limitedName(prefix[direction], interfaceName);
}

/** The chain of a policy's rules in one direction. */
export function policyChainName(direction: Direction, policy: PolicyRef): string {
  const before = policyChainNames[direction].get(policy);
  if (before !== undefined) return before;
  const name = policyChainNameOf(direction, policyId(policy));
  policyChainNames[direction].set(policy, name);
  return name;
}

/** What a policy is called: its name behind its kind. */
function policyId(policy: PolicyRef): string {
  return `${KIND_PREFIX[policy.kind]}/${formatPolicyName(policy)}`;
}

/** The chain of a policy that is called so: releases differ in how. */
export function policyChainNameOf(direction: Direction, suffix: string): string {
  return limitedName(POLICY_PREFIX[direction], suffix);
}

/** The chain of a policy group, by what tells it from others. Source: felix/rules/endpoints.go UniqueID. */
export function policyGroupChainName(direction: Direction, parts: readonly string[]): string {
  const prefix = POLICY_GROUP_PREFIX[direction];
  const hash = base64Url(SHA3_224.of(parts.map((part) => `${part}\n`).join("")));
  return prefix + hash.slice(0, LONGEST_CHAIN_NAME - prefix.length);
}

/** Tells whether a chain is that of a policy group. */
export function isPolicyGroupChain(name: string): boolean {
  return (
    name.startsWith(POLICY_GROUP_PREFIX.ingress) || name.startsWith(POLICY_GROUP_PREFIX.egress)
  );
}

/** Kept, as most are hashes, and both families' tables ask for them. */
const policyChainNames: Readonly<Record<Direction, WeakMap<PolicyRef, string>>> = {
  egress: new WeakMap(),
  ingress: new WeakMap(),
};

/** The name of the profile that Calico derives from a namespace. */
export function namespaceProfileName(namespace: string): string {
  return `kns.${namespace}`;
}

/** The name of the profile that Calico derives from a service account. */
export function accountProfileName(account: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return `ksa.${account.namespace}.${account.name}`;
}

/** The chain of a profile in one direction. */
export function profileChainName(direction: Direction, profile: string): string {
  return limitedName(PROFILE_PREFIX[direction], profile);
}

/** The name of a set of one family, by what identifies its content. */
export function setName(family: Family, id: string): string {
  return `cali${family}0${id}`.slice(0, LONGEST_SET_NAME);
}

/** The identity of a Service's endpoints; a set with their ports is another. */
export function serviceId(
  service: { readonly namespace: string; readonly name: string },
  ports: "with ports" | "without ports",
): string {
  const prefix = ports === "with ports" ? "svc" : "svcnoport";
  return uniqueId(prefix, `${service.namespace}/${service.name}`);
}

/** The identity of the named port of the endpoints that a selector chooses: a `hash:ip,port` set. */
export function namedPortId(port: {
  readonly selector: string;
  readonly protocol: PortProtocol | "any";
  readonly name: string;
}): string {
  const content = `${selectorId(port.selector)},${port.protocol.toLowerCase()},${port.name}`;
  return uniqueId("n", content);
}

/**
 * The identity Calico gives to a selector, of which a `hash:net` set is made: `s:` and a hash.
 *
 * @param selector the canonical Calico selector text
 */
export function selectorId(selector: string): string {
  return uniqueId("s", selector);
}

/** The identity of the addresses of nodes that a selector chooses. Calico has no such sets. */
export function nodesId(selector: string): string {
  return uniqueId("nodes", selector);
}

/** The identity of the addresses of some nodes and their pods. Neither Calico nor kube-proxy has such sets. */
export function placeId(nodes: readonly string[]): string {
  return uniqueId("places", nodes.join());
}

/** The identity of the addresses of a domain name. Calico has no such sets. */
export function domainId(domainName: string): string {
  return uniqueId("domain", domainName);
}

/** The node's end of a pod's veth pair. Source: libcalico-go conversion VethNameForWorkload. */
export function vethName(namespace: string, name: string): string {
  const hex = encodeBits(SHA1.of(`${namespace}.${name}`), 4, BASE16);
  return `${WORKLOAD_INTERFACE_PREFIX}${hex.slice(0, 11)}`;
}

/** What a node's interface is called where all nodes are seen as one; rules ask for names of any kernel's length. */
export function interfaceOfNode(name: string, node: string): string {
  const whole = `${name}@${node}`;
  if (whole.length <= LONGEST_INTERFACE_NAME) return whole;
  const beginning = `${name.slice(0, 4)}@`;
  const hash = base64Url(SHA256.of(whole));
  return beginning + hash.slice(0, LONGEST_INTERFACE_NAME - beginning.length);
}

/**
 * The chain that leads a node's ports to a pod. The plugin takes the sandbox's identity for the pod's name, which no
 * manifest tells.
 */
export function hostPortChainName(pod: string): string {
  return `${HOST_PORT_PREFIX}${encodeBits(SHA256.of(pod), 4, BASE16).slice(0, 21)}`;
}

/** One port of a Service, as kube-proxy names it: `namespace/name:port`, without colon when unnamed. */
export function servicePortName(service: {
  readonly namespace: string;
  readonly name: string;
  readonly port: string | undefined;
}): string {
  const port = service.port === undefined ? "" : `:${service.port}`;
  return `${service.namespace}/${service.name}${port}`;
}

/**
 * A chain of a Service port: that spreads it over the cluster's backends (SVC) or the node's (SVL), that
 * takes what comes from outside (EXT), that looks who may use a load balancer (FW).
 */
export function serviceChainName(
  prefix: "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-",
  portName: string,
  protocol: PortProtocol,
): string {
  return `${prefix}${portProtocolHash(portName, protocol, "")}`;
}

/** The chain that translates to one backend. */
export function backendChainName(
  portName: string,
  protocol: PortProtocol,
  backend: { readonly address: Address; readonly port: number },
): string {
  return `KUBE-SEP-${portProtocolHash(portName, protocol, formatSocket(backend))}`;
}

/** A chain or a set of kube-router's, by what it hashes. Source: kube-router pkg/controllers/netpol/policy.go. */
export function routerName(prefix: string, content: string): string {
  return prefix + base32(SHA256.of(content)).slice(0, 16);
}

/** `ADDRESS:PORT`, the IPv6 address in brackets. */
export function formatSocket(socket: { readonly address: Address; readonly port: number }): string {
  const address = formatAddress(socket.address);
  return socket.address.family === 4 ? `${address}:${socket.port}` : `[${address}]:${socket.port}`;
}

/**
 * A name that is too long is cut to a hash. So is one with characters that no Kubernetes name has: it
 * comes from a file that no API server has seen, and must not break out of its place in the text.
 */
function limitedName(prefix: string, suffix: string): string {
  const name = prefix + suffix;
  const fits =
    name.length < LONGEST_CHAIN_NAME ||
    // A name of full length that looks like a hash might be one.
    (name.length === LONGEST_CHAIN_NAME && !suffix.startsWith("_"));
  if (fits && /^[A-Za-z0-9._/-]*$/.test(suffix)) return name;
  const hash = base64Url(SHA256.of(suffix));
  return `${prefix}_${hash.slice(0, LONGEST_CHAIN_NAME - 1 - prefix.length)}`;
}

function uniqueId(prefix: string, content: string): string {
  return `${prefix}:${base64Url(SHA224.of(`${prefix}:${content}`))}`;
}

function portProtocolHash(portName: string, protocol: PortProtocol, backend: string): string {
  return base32(SHA256.of(portName + protocol.toLowerCase() + backend)).slice(0, 16);
}

const SHA1 = new TextDigest(() => sha1.create());
const SHA224 = new TextDigest(() => sha224.create());
const SHA256 = new TextDigest(() => sha256.create());
const SHA3_224 = new TextDigest(() => sha3_224.create());

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const BASE64_URL = codesOf(`${LETTERS}${LETTERS.toLowerCase()}0123456789-_`);
const BASE16 = codesOf("0123456789abcdef");
const BASE32 = codesOf(`${LETTERS}234567`);

function codesOf(alphabet: string): Uint8Array {
  return Uint8Array.from(alphabet, (character) => character.charCodeAt(0));
}

/** RFC 4648 section 5, without padding. */
export function base64Url(bytes: Uint8Array): string {
  return encodeBits(bytes, 6, BASE64_URL);
}

/** RFC 4648 section 6, without padding. */
function base32(bytes: Uint8Array): string {
  return encodeBits(bytes, 5, BASE32);
}

/**
 * Writes `width` bits at a time, the first bit first, each as a character of the alphabet. Made at once: a text that
 * grows by a character keeps a record of each.
 */
function encodeBits(bytes: Uint8Array, width: number, alphabet: Uint8Array): string {
  const codes: number[] = [];
  let pending = 0;
  let bits = 0;
  for (const byte of bytes) {
    pending = (pending << 8) | byte;
    bits += 8;
    while (bits >= width) {
      bits -= width;
      codes.push(alphabet[(pending >>> bits) & ((1 << width) - 1)] ?? 0);
    }
    pending &= (1 << bits) - 1;
  }
  if (bits > 0) codes.push(alphabet[(pending << (width - bits)) & ((1 << width) - 1)] ?? 0);
  return String.fromCharCode(...codes);
}
