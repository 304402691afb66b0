/**
 * Ports of nodes that containers ask for (`hostPort`), as the CNI plugin portmap programs them: a chain for each pod,
 * behind kube-proxy's, and a masquerade for what would otherwise be answered past the node. Policies see the
 * pod's own port, and the client as it came.
 * Source: containernetworking plugins, plugins/meta/portmap/portmap_iptables.go.
 *
 * Of a cluster seen as one node the addresses of the pod's node stand for `--dst-type LOCAL`. Where nothing tells
 * where a port leads, a rule leads to an address of which the routes say so.
 */
import type { Endpoint, HostPort, Snapshot } from "../cluster/snapshot.ts";
import { endpointName, nodeNames } from "../cluster/snapshot.ts";
import { formatPlace, type Place } from "../errors.ts";
import type { Match } from "../match/index.ts";
import { MULTIPORT_SLOTS } from "../match/multiport.ts";
import { formatAddress, hostPrefix, parseAddress, sameAddress } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Dialect } from "../policy/dialect.ts";
import { NAT_NOTHING, natTo } from "../target/nat-range.ts";
import { entryOf } from "./entry.ts";
import { isPrinted, type Chain, type Rule } from "./model.ts";
import {
  CHAIN_HOST_PORT_MARK,
  CHAIN_HOST_PORT_MASQUERADE,
  CHAIN_HOST_PORTS,
  hostPortChainName,
} from "./names.ts";
import { bitsSet, jump, makeRule, MARK_HOST_PORT, protocolIs, setBits } from "./rule.ts";
import {
  IS_LOCAL,
  LOOPBACK_4,
  LOOPBACK_6,
  portMatches,
  toChain,
  userChain,
} from "./service-port.ts";
import { portProtocolNumber } from "./sets.ts";

/** Which ports of nodes lead where. */
export interface HostPortPlan {
  readonly mapped: readonly MappedPod[];
  readonly untold: readonly UntoldPort[];
}

interface MappedPod {
  readonly pod: Endpoint;
  readonly ports: readonly HostPort[];
  /** At which of the node's addresses; undefined: whatever is local. */
  readonly at: readonly Prefix[] | undefined;
}

/** A port of which nothing tells where it leads. */
export interface UntoldPort {
  readonly protocol: HostPort["protocol"];
  readonly port: number;
  readonly families: readonly Family[];
  /** As of `MappedPod`. */
  readonly at: readonly Prefix[] | undefined;
  /** Asked before what is told. */
  readonly first: boolean;
  /** `hostPort 8080/TCP of Pod a/web`. */
  readonly owner: string;
  readonly missing: string;
  readonly place: Place;
  /** Who may answer. */
  readonly perhaps: readonly { readonly address: Address; readonly port: number }[];
  /** What it is taken to lead to. */
  readonly addresses: Readonly<Record<Family, Address>>;
}

type Untold = Omit<UntoldPort, "addresses">;

/** Says which ports lead where, on one node or (undefined) on all. */
export function planHostPorts(
  snapshot: Snapshot,
  node: string | undefined,
  dialect: Dialect,
): HostPortPlan {
  const asking = snapshot.endpoints.filter(
    (pod) =>
      pod.hostPorts !== undefined &&
      (node === undefined || pod.node === undefined || pod.node === node),
  );
  if (asking.length === 0) return NO_PORTS;
  const addressesAt = addressesOfNodes(snapshot);
  const at = (name: string | undefined): readonly Prefix[] | undefined =>
    node === undefined && name !== undefined ? addressesAt(name) : undefined;
  const mapped: (MappedPod & { readonly pod: Endpoint })[] = [];
  const untold: Untold[] = [];
  for (const pod of asking) {
    const told = (pod.hostPorts ?? []).filter((port) => {
      const why = whyUntold(pod, port, dialect);
      if (why === undefined) return true;
      untold.push(untoldPort(pod, port, { at: at(pod.node), first: false, why }));
      return false;
    });
    if (told.length > 0) mapped.push({ pod, ports: told, at: at(pod.node) });
  }
  untold.push(...contested(mapped));
  if (node === undefined && nodeNames(snapshot).length > 1) untold.push(...atLoopback(mapped));
  return { mapped, untold: untold.map(withAddresses) };
}

const NO_PORTS: HostPortPlan = { mapped: [], untold: [] };

function whyUntold(
  { kind, addresses, node }: Endpoint,
  { sidecar }: HostPort,
  { hostPorts, title }: Dialect,
): string | undefined {
  if (hostPorts === "open") return `what serves it beside ${title}`;
  if (addresses.length === 0) {
    return kind === "Pod" ? "the pod's address" : "which pods it has, and where";
  }
  if (node === undefined) return "on which node the pod is";
  // Kubelets gave those of other containers alone; the API has both.
  return sidecar === true ? "whether the kubelet gives it to a sidecar" : undefined;
}

function untoldPort(
  pod: Endpoint,
  port: HostPort,
  { at, first, why }: Pick<Untold, "at" | "first"> & { readonly why: string },
): Untold {
  const owner = `hostPort ${hostPortText(pod, port)}`;
  const { address } = port;
  return {
    protocol: port.protocol,
    port: port.port,
    families: address === undefined ? [4, 6] : [address.family],
    at: isOne(address) ? [hostPrefix(address)] : at,
    first,
    owner,
    missing: `${owner} (${formatPlace(port.place)}): nothing tells ${why}`,
    place: port.place,
    perhaps: pod.addresses.map((own) => ({ address: own, port: port.target })),
  };
}

/** Of several pods on one node with one port the latest has it, or the earliest, by the plugin's release. */
function contested(mapped: readonly MappedPod[]): Untold[] {
  const byPort = new Map<string, (MappedPod & { readonly port: HostPort })[]>();
  for (const each of mapped) {
    for (const port of each.ports) {
      const key = `${each.pod.node ?? ""} ${port.protocol} ${port.port}`;
      entryOf(byPort, key, () => []).push({ ...each, port });
    }
  }
  return [...byPort.values()].flatMap((all) => {
    const rivals = all.filter((one) =>
      all.some((other) => other.pod !== one.pod && overlap(one.port, other.port)),
    );
    const [one] = rivals;
    if (one === undefined) return [];
    const names = [...new Set(rivals.map(({ pod }) => endpointName(pod)))];
    const why = `which of ${names.join(", ")} has it`;
    const whole = { ...one.port, address: undefined };
    return [untoldPort(one.pod, whole, { at: one.at, first: true, why })];
  });
}

function overlap({ address: one }: HostPort, { address: other }: HostPort): boolean {
  if (one !== undefined && other !== undefined && one.family !== other.family) return false;
  return !isOne(one) || !isOne(other) || sameAddress(one, other);
}

/** Of nodes seen as one nothing tells whose loopback address it is. */
function atLoopback(mapped: readonly MappedPod[]): Untold[] {
  return mapped.flatMap(({ pod, ports }) =>
    ports
      .filter(({ address }) => !isOne(address) || isLoopback(address))
      .map((port): Untold => {
        const why = "at which node the loopback address is";
        const at = [LOOPBACK_4, LOOPBACK_6];
        const whole = { ...port, address: undefined };
        return { ...untoldPort(pod, whole, { at, first: false, why }) };
      }),
  );
}

function isLoopback(address: Address): boolean {
  return /^(?:127\.|::1$)/.test(formatAddress(address));
}

/** A certain one of the node's addresses, and not all. */
function isOne(address: Address | undefined): address is Address {
  return address !== undefined && address.words.some((word) => word !== 0);
}

/** What is local to a node of a cluster seen as one. */
function addressesOfNodes(snapshot: Snapshot): (node: string) => readonly Prefix[] {
  const { nodeByName, hostEndpoints } = snapshot;
  // The only node has the loopback addresses, too.
  const loopback = nodeNames(snapshot).length === 1 ? [LOOPBACK_4, LOOPBACK_6] : [];
  return (node) => [
    ...[
      ...(nodeByName.get(node)?.ownAddresses ?? []),
      ...hostEndpoints.filter((each) => each.node === node).flatMap(({ addresses }) => addresses),
    ].map(hostPrefix),
    ...loopback,
  ];
}

/** Reserved addresses, which nobody has: one for each port of which nothing tells where it leads. */
function withAddresses(port: Untold, index: number): UntoldPort {
  const addresses = {
    4: reserved(`240.${index >> 16}.${(index >> 8) & 255}.${index & 255}`),
    6: reserved(`100::${(index >> 16).toString(16)}:${(index & 0xffff).toString(16)}`),
  };
  return { ...port, addresses };
}

function reserved(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`bug: ${text} is no address`);
  return address;
}

/** What the nat table of one family has of the plugin's; nothing where no pod asks. */
export interface HostPortRules {
  /** Behind all others at PREROUTING and OUTPUT. */
  readonly destination: readonly Rule[];
  /** Before all others at POSTROUTING. */
  readonly source: readonly Rule[];
  readonly chains: readonly Chain[];
}

/** Compiles a family's rules. */
export function compileHostPorts({ mapped, untold }: HostPortPlan, family: Family): HostPortRules {
  const pods = mapped.flatMap((each) => {
    const address = each.pod.addresses.find((own) => own.family === family);
    return address === undefined ? [] : [{ ...each, address }];
  });
  const open = (first: boolean): Rule[] =>
    untold
      .filter((port) => port.first === first && port.families.includes(family))
      .flatMap((port) => untoldRules(port, family));
  const rules = [
    ...open(true),
    ...pods.flatMap((each) => entryRules(each, family)),
    ...open(false),
  ];
  if (rules.length === 0) return { destination: [], source: [], chains: [] };
  const top = userChain(CHAIN_HOST_PORTS, rules);
  return {
    destination: [makeRule({ matches: [IS_LOCAL.destination], target: jump(CHAIN_HOST_PORTS) })],
    source: [toChain(CHAIN_HOST_PORT_MASQUERADE, "CNI portfwd requiring masquerade")],
    chains: [
      rules.every(isPrinted) ? top : { ...top, partlyPrinted: true },
      userChain(CHAIN_HOST_PORT_MARK, [
        makeRule({ comment: "CNI portfwd masquerade mark", target: setBits(MARK_HOST_PORT) }),
      ]),
      userChain(CHAIN_HOST_PORT_MASQUERADE, [
        makeRule({
          matches: [bitsSet(MARK_HOST_PORT)],
          target: { kind: "MASQUERADE", range: NAT_NOTHING },
        }),
      ]),
      ...pods.map((each) => podChain(each, family)),
    ],
  };
}

/** To a pod's chain, by all ports that it has; a match has room for a few. */
function entryRules({ pod, ports, at }: MappedPod, family: Family): Rule[] {
  const protocols = [...new Set(ports.map(({ protocol }) => protocol))].sort();
  return protocols.flatMap((protocol) => {
    const own = ports.filter((port) => port.protocol === protocol);
    const numbers = [...new Set(own.map(({ port }) => port))];
    const chunks = Array.from({ length: Math.ceil(numbers.length / MULTIPORT_SLOTS) }, (_, index) =>
      numbers.slice(index * MULTIPORT_SLOTS, (index + 1) * MULTIPORT_SLOTS),
    );
    return chunks.flatMap((chunk) =>
      placesIn(at, family).map((place) =>
        makeRule({
          comment: `dnat ${endpointName(pod)}`,
          matches: [
            ...place,
            protocolIs(portProtocolNumber(protocol)),
            {
              kind: "multiport",
              side: "dst",
              ports: chunk.map((port) => ({ first: port, last: port })),
              invert: false,
            },
          ],
          target: jump(hostPortChainName(endpointName(pod))),
        }),
      ),
    );
  });
}

function podChain(
  { pod, ports, address }: MappedPod & { readonly address: Address },
  family: Family,
): Chain {
  const own = ports.filter((port) => port.address === undefined || port.address.family === family);
  const rules = own.flatMap((port): Rule[] => {
    const to = isOne(port.address) ? [addressIs("dst", hostPrefix(port.address))] : [];
    const matches = [...to, ...portMatches(port, port.port)];
    const marked = (from: Prefix): Rule =>
      makeRule({
        matches: [addressIs("src", from), ...matches],
        target: jump(CHAIN_HOST_PORT_MARK),
      });
    return [
      marked(hostPrefix(address)),
      // > IPv6 has no route_localnet.
      ...(family === 4 ? [marked(hostPrefix(reserved("127.0.0.1")))] : []),
      makeRule({
        matches,
        target: { kind: "DNAT", range: natTo(address, port.target) },
        origin: { kind: "host-port", hostPort: hostPortText(pod, port), place: port.place },
      }),
    ];
  });
  return userChain(hostPortChainName(endpointName(pod)), rules);
}

function untoldRules(port: UntoldPort, family: Family): Rule[] {
  const { place, missing } = port;
  // None but the first is reached: the others tell the matcher who may answer.
  const targets = [{ address: port.addresses[family], port: port.port }, ...port.perhaps];
  return placesIn(port.at, family).flatMap((at) =>
    targets
      .filter(({ address }) => address.family === family)
      .map((target) =>
        makeRule({
          matches: [...at, ...portMatches(port, port.port)],
          target: { kind: "DNAT", range: natTo(target.address, target.port) },
          origin: { kind: "host-port-unknown", missing, place },
        }),
      ),
  );
}

/** The matches of each address of a family; undefined: one way, without any. */
function placesIn(at: readonly Prefix[] | undefined, family: Family): Match[][] {
  if (at === undefined) return [[]];
  return at
    .filter(({ address }) => address.family === family)
    .map((prefix) => [addressIs("dst", prefix)]);
}

function addressIs(side: "src" | "dst", prefix: Prefix): Match {
  return { kind: "address", side, prefix, invert: false };
}

function hostPortText(pod: Endpoint, { port, protocol }: HostPort): string {
  return `${port}/${protocol} of ${pod.kind} ${endpointName(pod)}`;
}
