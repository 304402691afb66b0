/**
 * The evaluator's host endpoints: what one node makes of the first packet of a connection,
 * straight from the raw objects. Shares no code with what is checked.
 */
import {
  appliesTo,
  hostLabels,
  ruleMatches,
  stagesOf,
  typesOf,
  type RawCalicoPolicy,
  type RawFailsafe,
  type RawHostEndpoint,
} from "./oracle-calico.ts";
import type { Outcome } from "./oracle-cluster-wide.ts";
import {
  inBlock,
  podAt,
  PROTOCOLS,
  sameAddress,
  type Attempt,
  type World,
} from "./oracle-objects.ts";
import { backendsOf, judgeTranslated } from "./oracle.ts";

type Type = "Ingress" | "Egress";
/** Which policies of a host endpoint are asked. */
type Layer = "own" | "forwarded" | "preDNAT" | "doNotTrack";
/** Where an address is, as the node sees it. */
type Place = "pod" | "node" | "away";
type Say = "allow" | "deny" | undefined;

/** Says whether a packet that crosses the node gets through; undefined where backends fare differently. */
export function judgeOnNode(world: World, node: string, attempt: Attempt): boolean | undefined {
  const from = placeOf(world, node, attempt.source);
  const to = placeOf(world, node, attempt.destination);
  const asks = { world, node, attempt };
  // The raw table: a host endpoint for all interfaces has no say.
  const first: Asking =
    from === "node"
      ? { ...asks, place: to, type: "Egress" }
      : { ...asks, place: from, type: "Ingress" };
  const untracked = untrackedSay(first);
  if (untracked === "deny") return false;
  const before = from === "node" || untracked === "allow" ? untracked : preDnatSay(first);
  if (before === "deny") return false;
  const accepted = before === "allow";
  const backends = untracked === "allow" ? undefined : backendsOf(world, attempt);
  if (backends === undefined) return goOn({ ...asks, accepted, untranslated: to });
  // Without any it is refused, unless a host endpoint's policy accepts it before: it is not asked here.
  if (backends.length === 0) return undefined;
  const ends = backends.map((backend) =>
    goOn({ ...asks, attempt: backend, accepted, untranslated: to }),
  );
  return ends.every((end) => end === ends[0]) ? ends[0] : undefined;
}

interface Way {
  readonly world: World;
  readonly node: string;
  /** After translation. */
  readonly attempt: Attempt;
  /** A policy of raw or mangle has accepted it. */
  readonly accepted: boolean;
  /** Where the destination was before. */
  readonly untranslated: Place;
}

function goOn({ world, node, attempt, accepted, untranslated }: Way): boolean | undefined {
  const from = placeOf(world, node, attempt.source);
  const to = placeOf(world, node, attempt.destination);
  const say = (place: Place, type: Type, layer: Layer): Say =>
    sayOf({ world, node, attempt, place, type }, layer);
  if (from === "node") {
    // never policed.
    if (untranslated === "pod" || to === "pod") return true;
    return accepted || say(to, "Egress", "own") !== "deny";
  }
  const pods = judgeTranslated(world, attempt);
  const egress = from === "pod" ? (pods.egress?.allowed ?? true) : true;
  if (to === "node") {
    if (from === "pod") return egress;
    return accepted || say(from, "Ingress", "own") !== "deny";
  }
  const ingress = to === "pod" && pods.ingress !== undefined ? pods.ingress.allowed : true;
  if (!accepted && say(from, "Ingress", "forwarded") === "deny") return false;
  if (say(to, "Egress", "forwarded") === "deny") return false;
  if (egress === false || ingress === false) return false;
  return egress === undefined || ingress === undefined ? undefined : true;
}

function placeOf(world: World, node: string, address: string): Place {
  const pod = podAt(world, address);
  if (pod !== undefined) return pod.spec?.nodeName === node ? "pod" : "away";
  const own = addressesOf(world, node).some((one) => sameAddress(one, address));
  return own ? "node" : "away";
}

function addressesOf(world: World, node: string): string[] {
  return (world.nodes ?? [])
    .filter(({ metadata }) => metadata.name === node)
    .flatMap(({ status }) => status?.addresses ?? [])
    .filter(({ type }) => type !== "Hostname")
    .map(({ address }) => address);
}

/** Whose say is asked: of the endpoint of an interface, in a direction. */
interface Asking {
  readonly world: World;
  readonly node: string;
  readonly attempt: Attempt;
  /** Behind which interface: a pod's, or eth0. */
  readonly place: Place;
  readonly type: Type;
}

/** what is allowed is accepted everywhere behind; failsafe ports are tracked, both ways. */
function untrackedSay(asking: Asking): Say {
  const host = namedHost(asking);
  if (host === undefined || policiesOf(asking, host, "doNotTrack").length === 0) return undefined;
  const other: Type = asking.type === "Ingress" ? "Egress" : "Ingress";
  if (isFailsafe(asking, asking.type, "port") || isFailsafe(asking, other, "sourcePort")) {
    return undefined;
  }
  return tiersSay(asking, host, "doNotTrack");
}

function preDnatSay(asking: Asking): Say {
  const host = hostOf(asking);
  if (host === undefined || policiesOf(asking, host, "preDNAT").length === 0) return undefined;
  return isFailsafe(asking, "Ingress", "port") ? undefined : tiersSay(asking, host, "preDNAT");
}

function sayOf(asking: Asking, layer: "own" | "forwarded" | Layer): Say {
  const host = hostOf(asking);
  if (host === undefined) return undefined;
  if (layer !== "own") return tiersSay(asking, host, layer);
  if (isFailsafe(asking, asking.type, "port")) return "allow";
  return tiersSay(asking, host, layer) ?? profilesSay(asking, host);
}

/** The endpoint of an interface: named for it or having its address, the first by name; else that of all. */
function hostOf(asking: Asking): RawHostEndpoint | undefined {
  return namedHost(asking) ?? hostsOn(asking).find(({ spec }) => spec.interfaceName === "*");
}

function namedHost(asking: Asking): RawHostEndpoint | undefined {
  if (asking.place === "pod") return undefined;
  const own = addressesOf(asking.world, asking.node);
  return hostsOn(asking).find(({ spec }) =>
    spec.interfaceName === undefined
      ? spec.expectedIPs?.some((one) => own.some((other) => sameAddress(one, other)))
      : spec.interfaceName === "eth0",
  );
}

function hostsOn({ world, node }: Asking): RawHostEndpoint[] {
  return (world.calico?.hostEndpoints ?? [])
    .filter(({ spec }) => spec.node === node)
    .toSorted((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
}

function policiesOf(
  { world, type }: Asking,
  host: RawHostEndpoint,
  layer: Layer,
): RawCalicoPolicy[] {
  const labels = hostLabels(world, host);
  return world.calico!.policies.filter((policy) => {
    const { preDNAT = false, doNotTrack = false, applyOnForward = false } = policy.spec;
    const tracked = !preDNAT && !doNotTrack;
    const isOfLayer = {
      own: tracked,
      forwarded: tracked && applyOnForward,
      preDNAT,
      doNotTrack,
    }[layer];
    return isOfLayer && appliesTo(labels, undefined, policy) && typesOf(policy).includes(type);
  });
}

function tiersSay(asking: Asking, host: RawHostEndpoint, layer: Layer): Say {
  const stages = stagesOf(asking, policiesOf(asking, host, layer), []).sort(
    (one, other) =>
      (one.order === other.order ? 0 : one.order - other.order) || (one.name < other.name ? -1 : 1),
  );
  const passesAlways = layer === "preDNAT" || layer === "doNotTrack";
  const undecided: Outcome[] = [];
  const from = (index: number): Outcome[] => {
    const stage = stages[index];
    if (stage === undefined) return undecided;
    const outcomes = stage.decide(() => from(index + 1));
    // A tier's default denies only what it ends.
    const byDefault = outcomes[0] !== undefined && outcomes[0].by === undefined;
    return passesAlways && byDefault ? from(index + 1) : outcomes;
  };
  const [outcome] = from(0);
  return outcome === undefined ? undefined : outcome.allowed ? "allow" : "deny";
}

/** without a profile that allows, it is denied. */
function profilesSay({ world, type, attempt }: Asking, host: RawHostEndpoint): Say {
  for (const name of host.spec.profiles ?? []) {
    if (name === "projectcalico-default-allow") return "allow";
    const profile = world.calico?.profiles?.find(({ metadata }) => metadata.name === name);
    if (profile === undefined) return "deny";
    const rules = (type === "Ingress" ? profile.spec.ingress : profile.spec.egress) ?? [];
    const rule = rules.find(
      (one) => one.action !== "Log" && ruleMatches(world, one, undefined, attempt),
    );
    if (rule !== undefined) return rule.action === "Allow" ? "allow" : "deny";
  }
  return "deny";
}

const DEFAULTS: Readonly<Record<Type, readonly RawFailsafe[]>> = {
  Ingress: ports("tcp 22 udp 68 tcp 179 tcp 2379 tcp 2380 tcp 5473 tcp 6443 tcp 6666 tcp 6667"),
  Egress: ports("udp 53 udp 67 tcp 179 tcp 2379 tcp 2380 tcp 5473 tcp 6443 tcp 6666 tcp 6667"),
};

function ports(text: string): RawFailsafe[] {
  return [...text.matchAll(/(\w+) (\d+)/g)].map(([, protocol = "", port]) => ({
    protocol,
    port: Number(port),
  }));
}

/** `which` of the attempt's ports is one of the direction's; the far end is in the port's net. */
function isFailsafe(
  { world, node, attempt, type }: Asking,
  list: Type,
  which: "port" | "sourcePort",
): boolean {
  const settings = (world.calico?.felix ?? []).toSorted((one) =>
    one.metadata.name === "default" ? -1 : 1,
  );
  const key = list === "Ingress" ? "failsafeInboundHostPorts" : "failsafeOutboundHostPorts";
  const given = settings
    .filter(({ metadata }) => ["default", `node.${node}`].includes(metadata.name))
    .map(({ spec }) => spec[key])
    .findLast((one) => one !== undefined);
  const far = type === "Ingress" ? attempt.source : attempt.destination;
  return (given ?? DEFAULTS[list]).some(
    ({ protocol, port, net }) =>
      PROTOCOLS[protocol.toUpperCase()] === attempt.protocol &&
      attempt[which] === port &&
      (net === undefined || inBlock(far, net)),
  );
}
