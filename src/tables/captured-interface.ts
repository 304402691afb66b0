/**
 * What an interface is that a capture names, on a node whose manifests tell no more of its interfaces than what
 * host endpoints bind: one of those, one that none binds, or perhaps one below those, where rules see it.
 */
import type { Topology } from "./model.ts";
import { isTunnelDevice, LOOPBACK_INTERFACE, WORKLOAD_INTERFACE_PREFIX } from "./names.ts";

/** How rules know it. */
export interface CapturedInterface {
  readonly name: string;
  /** `told`: they have its name, if it is not empty. `other`: none has. `perhaps-below`: the same, or they see one of the told. `perhaps-pod`: one of these, or a pod's own. */
  readonly stand: "told" | "other" | "perhaps-below" | "perhaps-pod";
}

/** What a topology tells of a node's interfaces. */
export type ToldInterfaces = Pick<
  Topology,
  "uplinks" | "unnamed" | "boundInterfaces" | "otherInterface"
>;

/** Takes it from a topology. */
export function toldInterfaces(topology: Topology): ToldInterfaces {
  const { uplinks, unnamed, boundInterfaces, otherInterface } = topology;
  return {
    ...(uplinks === undefined ? {} : { uplinks }),
    ...(unnamed === undefined ? {} : { unnamed }),
    ...(boundInterfaces === undefined ? {} : { boundInterfaces }),
    ...(otherInterface === undefined ? {} : { otherInterface }),
  };
}

/**
 * Tells what a name of a capture means. Interfaces are taken to be what their names say: what the kernel and
 * udev call network cards (eth0, ens3) lies on nothing, but eth0 perhaps on another card, as on Azure.
 */
export function captureInterface(
  name: string,
  { uplinks = [], unnamed = [], boundInterfaces = [], otherInterface }: ToldInterfaces,
): CapturedInterface {
  const told = { name: isInterfaceName(name) ? name : "", stand: "told" } as const;
  const isKnown = uplinks.includes(name) && !unnamed.includes(name);
  const isOwn = name === LOOPBACK_INTERFACE || name.startsWith(WORKLOAD_INTERFACE_PREFIX);
  if (otherInterface === undefined) return told;
  if (isKnown && name === POD_INTERFACE) return { ...told, stand: "perhaps-pod" };
  if (isKnown || isOwn || told.name === "") return told;
  const other = { name: otherInterface, stand: "other" } as const;
  if (isTunnelDevice(name)) return other;
  const [way, second] = uplinks.filter((uplink) => !isTunnelDevice(uplink));
  // The node has one, and nothing but the capture tells what it is called.
  if (way !== undefined && second === undefined && unnamed.includes(way)) {
    return { ...told, name: way };
  }
  const isPerhapsBelow = boundInterfaces.some(
    (bound) => unnamed.includes(bound) || mayLieBelow(name, bound),
  );
  if (isPerhapsBelow) return { ...other, stand: "perhaps-below" };
  return name === POD_INTERFACE ? { ...other, stand: "perhaps-pod" } : other;
}

/** > "any" is all of them, "-" what came by a pipe, and libpcap has names for what is no interface of Linux. */
function isInterfaceName(name: string): boolean {
  return name !== "any" && /^[^\s/:\\]{2,15}$/.test(name);
}

/** > Bonds, bridges and VLANs take the frames of others. */
function mayLieBelow(name: string, upper: string): boolean {
  if (upper === LOOPBACK_INTERFACE || isTunnelDevice(upper)) return false;
  if (NUMBERED_CARD.test(upper)) return PLACED_CARD.test(name);
  return !PLACED_CARD.test(upper);
}

/** That of every pod, as a capture in its own namespace names it. */
const POD_INTERFACE = "eth0";
/** As the kernel names network cards. */
const NUMBERED_CARD = /^eth\d+$/;
/** As udev does, by their places; tags of VLANs come behind a dot. */
const PLACED_CARD = /^en[A-Za-z0-9]+$/;
