/**
 * Whether nodes wrap what they send to a pod's address, and the device by which it then comes and goes.
 * Source: libcalico-go lib/ipam pools' modes; felix/calc/encapsulation_calculator.go, l3_route_resolver.go;
 * confd's bird templates for IPIP.
 */
import type {
  ClusterNode,
  FelixSettings,
  IpPool,
  Snapshot,
  TunnelKind,
} from "../cluster/snapshot.ts";
import { prefixContains } from "../net/address.ts";
import type { Address, Family, Prefix } from "../net/address.ts";
import type { Route } from "./model.ts";
import { TUNNEL_DEVICE } from "./names.ts";
import { usedTunnels } from "./tunnels.ts";

/** Tells what becomes of packets to an address, or to any of a range. */
export type Wrapping = (to: Address | Prefix) => Pick<Route, "wrapped" | "tunnel">;

/** Makes what tells of a snapshot's addresses whether packets to them are wrapped. */
export function wrappingIn(snapshot: Snapshot, settings: FelixSettings): Wrapping {
  const { pools } = snapshot;
  const kindByFamily = new Map<Family, TunnelKind | undefined>();
  const usedTunnel = (family: Family): TunnelKind | undefined => {
    if (!kindByFamily.has(family))
      kindByFamily.set(family, usedTunnels(snapshot, settings, family)[0]);
    return kindByFamily.get(family);
  };
  return (to) => {
    const { family } = "bits" in to ? to.address : to;
    const isIn = ({ prefix }: IpPool): boolean =>
      "bits" in to
        ? prefixContains(prefix, to.address) || prefixContains(to, prefix.address)
        : prefixContains(prefix, to);
    if (settings.wireguardPorts[family] !== undefined) {
      return { tunnel: TUNNEL_DEVICE.wireguard[family] };
    }
    const own = pools.filter(isIn);
    const wrapping = own.find(({ tunnel }) => tunnel !== undefined);
    if (wrapping?.tunnel !== undefined) {
      const tunnel = TUNNEL_DEVICE[wrapping.tunnel][family];
      const always = !("bits" in to) && wrapping.wrapsAlways;
      return always ? { tunnel, wrapped: true } : { tunnel };
    }
    if (pools.some(({ prefix }) => prefix.address.family === family)) return { wrapped: false };
    // > Without pools the nodes tell which devices they have.
    const kind = usedTunnel(family);
    return kind === undefined ? { wrapped: false } : { tunnel: TUNNEL_DEVICE[kind][family] };
  };
}

/** The same without the device, where nothing tells interfaces apart. */
export function isWrappedIn(
  snapshot: Snapshot,
  settings: FelixSettings,
): (to: Address) => Pick<Route, "wrapped"> {
  const wrapping = wrappingIn(snapshot, settings);
  return (to) => {
    const { wrapped } = wrapping(to);
    return wrapped === undefined ? {} : { wrapped };
  };
}

/** Tells whether two nodes are in one subnet; undefined: nothing tells, or they see it otherwise. */
export function areNear(
  one: ClusterNode | undefined,
  other: ClusterNode | undefined,
  family: Family,
): boolean | undefined {
  const there = isInSubnet(one, other, family);
  return there === isInSubnet(other, one, family) ? there : undefined;
}

/** Tells whether all nodes are known to be in one subnet. */
export function areAllNear({ nodeByName }: Snapshot, family: Family): boolean {
  const [first, ...others] = nodeByName.values();
  // > Each is in the first one's, and it in theirs: subnets of as many bits are the same.
  const bits = subnetOf(first, family)?.bits;
  return others.every(
    (node) => areNear(first, node, family) === true && subnetOf(node, family)?.bits === bits,
  );
}

function subnetOf(node: ClusterNode | undefined, family: Family): Prefix | undefined {
  return node?.subnets?.find(({ address }) => address.family === family);
}

/** > A node asks whether the other's address is in the subnet of its own. */
function isInSubnet(
  asking: ClusterNode | undefined,
  asked: ClusterNode | undefined,
  family: Family,
): boolean | undefined {
  const subnet = subnetOf(asking, family);
  const address = asked?.hostAddresses.find((each) => each.family === family);
  return subnet === undefined || address === undefined
    ? undefined
    : prefixContains(subnet, address);
}
