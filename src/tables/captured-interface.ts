/**
 * What an interface is that a capture names, on a node whose manifests tell no more of its
 * interfaces than what host endpoints bind: one of those, or one of which nothing tells whether it
 * is the node's, and perhaps one below those, where rules see it.
 */
import type { Topology } from "./model.ts";
import {
  isTunnelDevice,
  LOOPBACK_INTERFACE,
  TUNNEL_INTERFACE,
  WORKLOAD_INTERFACE_PREFIX,
} from "./names.ts";

/** How rules know it. */
export interface CapturedInterface {
  readonly name: string;
  /**
   * `told`: they have its name, if it is not empty. `perhaps-elsewhere`: none has, or it is no
   * interface of the node, and they see that which leads there. `perhaps-below`: none has, or they
   * see any of the told. `perhaps-pod`: they have its name, or it is a pod's own.
   */
  readonly stand: "told" | "perhaps-elsewhere" | "perhaps-below" | "perhaps-pod";
}

/** What a topology tells of a node's interfaces. */
export type ToldInterfaces = Pick<
  Topology,
  "uplinks" | "unnamed" | "boundInterfaces" | "otherInterface" | "otherByNode" | "nameByNode"
>;

/** Takes it from a topology. */
export function toldInterfaces(topology: Topology): ToldInterfaces {
  const { uplinks, unnamed, boundInterfaces, otherInterface, otherByNode, nameByNode } = topology;
  return {
    ...(uplinks === undefined ? {} : { uplinks }),
    ...(unnamed === undefined ? {} : { unnamed }),
    ...(boundInterfaces === undefined ? {} : { boundInterfaces }),
    ...(otherInterface === undefined ? {} : { otherInterface }),
    ...(otherByNode === undefined ? {} : { otherByNode }),
    ...(nameByNode === undefined ? {} : { nameByNode }),
  };
}

/**
 * Tells what a name of a capture means. That the capture was taken on the node nothing shows:
 * switches mirror ports, hypervisors have the other end of a node's cards, and other CNI plugins'
 * pods have veths.
 */
export function captureInterface(name: string, topology: ToldInterfaces): CapturedInterface {
  const { uplinks = [], unnamed = [], boundInterfaces = [], otherInterface } = topology;
  const told = { name: isInterfaceName(name) ? name : "", stand: "told" } as const;
  const isKnown = uplinks.includes(name) && !unnamed.includes(name);
  const isOwn = name === LOOPBACK_INTERFACE || name.startsWith(WORKLOAD_INTERFACE_PREFIX);
  if (!isOwn && told.name !== "" && topology.otherByNode !== undefined) {
    return captureOfAny(name, topology.nameByNode);
  }
  if (otherInterface === undefined) return told;
  if (isKnown && name === POD_INTERFACE) return { ...told, stand: "perhaps-pod" };
  if (isKnown || isOwn || told.name === "") return told;
  const [way, second] = uplinks.filter((uplink) => !isTunnelDevice(uplink));
  // An endpoint for all of them makes no difference.
  if (boundInterfaces.length === 0 && way !== undefined && !isTunnelDevice(name)) {
    return { ...told, name: way };
  }
  // > Bonds, bridges and VLANs take the frames of others.
  const stand = second === undefined ? "perhaps-elsewhere" : "perhaps-below";
  return { name: otherInterface, stand };
}

/** The same where all nodes are seen as one: each is asked whether it calls its own so. */
function captureOfAny(name: string, nameByNode: ToldInterfaces["nameByNode"]): CapturedInterface {
  const stand = "perhaps-elsewhere";
  if (isTunnelDevice(name)) return { name: TUNNEL_INTERFACE, stand };
  const isOfSome = [...(nameByNode?.values() ?? [])].includes(name);
  return { name: isOfSome ? name : "", stand };
}

/** > "any" is all of them, "-" what came by a pipe, and libpcap has names for what is no interface of Linux. */
function isInterfaceName(name: string): boolean {
  return name !== "any" && /^[^\s/:\\]{2,15}$/.test(name);
}

/** That of every pod, as a capture in its own namespace names it. */
const POD_INTERFACE = "eth0";
