/**
 * What the evaluator knows of those who implement the API (docs/dialects.md): answers of its own to what
 * the API leaves open, and what they make of blocks and of ports' names. Shares no code with what is checked.
 */
import {
  inBlock,
  nodeAt,
  podAt,
  PROTOCOLS,
  sameAddress,
  type Attempt,
  type RawContainer,
  type RawPeer,
  type World,
} from "./oracle-objects.ts";

export type DialectName = "calico" | "kube-network-policies" | "cilium" | "kube-router" | "generic";

/** `maybe`: it is not known. */
export type Tri = "yes" | "no" | "maybe";

/** An attempt, and before translation by a Service. */
export interface Asking extends Attempt {
  readonly asked?: string;
}

/** Any of them. */
export function anyOf(all: readonly Tri[]): Tri {
  if (all.includes("yes")) return "yes";
  return all.includes("maybe") ? "maybe" : "no";
}

/** All of them. */
export function allOf(all: readonly Tri[]): Tri {
  if (all.includes("no")) return "no";
  return all.includes("maybe") ? "maybe" : "yes";
}

const ICMP: readonly number[] = [1, 58];

/** What the implementation drops whatever policies say, or may treat as it likes where they isolate a pod. */
export function protocolAnswer(dialect: DialectName, protocol: number): "rules" | "drop" | "open" {
  if (protocol === PROTOCOLS["TCP"] || protocol === PROTOCOLS["UDP"]) return "rules";
  if (dialect === "generic") return "open";
  return dialect === "cilium" && !ICMP.includes(protocol) ? "drop" : "rules";
}

/** Which of a node's addresses are known: all of them if every node that a pod names has an object. */
function knowsNodes({ pods, nodes = [] }: World): boolean {
  const names = new Set(nodes.map(({ metadata }) => metadata.name));
  return nodes.length > 0 && pods.every(({ spec }) => names.has(spec?.nodeName ?? ""));
}

/** Whether an ipBlock means the peer of an attempt. */
export function blockMeans(
  dialect: DialectName,
  world: World,
  type: "Ingress" | "Egress",
  { cidr, except = [] }: NonNullable<RawPeer["ipBlock"]>,
  attempt: Asking,
): Tri {
  const holds = (address: string): boolean =>
    inBlock(address, cidr) && !except.some((each) => inBlock(address, each));
  const address = type === "Ingress" ? attempt.source : attempt.destination;
  const pod = podAt(world, address) !== undefined;
  const node = nodeAt(world, address) !== undefined;
  const maybeNode = !pod && !node && !knowsNodes(world);
  if (dialect === "cilium") {
    if (!holds(address) || pod || node) return "no";
    return maybeNode ? "maybe" : "yes";
  }
  if (dialect !== "generic") return holds(address) ? "yes" : "no";
  const translated = attempt.asked !== undefined;
  if (translated && type === "Ingress" && !pod) return "maybe";
  if (translated && type === "Egress" && holds(attempt.asked)) return "maybe";
  if (!holds(address)) return "no";
  if (translated || pod || node || maybeNode) return "maybe";
  return "yes";
}

/** Whether a port's name means the port of an attempt. */
export function nameMeans(
  dialect: DialectName,
  world: World,
  type: "Ingress" | "Egress",
  named: { readonly name: string; readonly protocol: string | undefined },
  attempt: Attempt,
): Tri {
  const spec = podAt(world, attempt.destination)?.spec;
  const has = (containers: readonly RawContainer[] = []): boolean =>
    containers
      .flatMap((container) => container.ports ?? [])
      .some(
        ({ name, containerPort, protocol = "TCP" }) =>
          name === named.name &&
          protocol === (named.protocol ?? protocol) &&
          PROTOCOLS[protocol] === attempt.protocol &&
          containerPort === attempt.port,
      );
  const running = has(spec?.containers);
  const init = has(spec?.initContainers);
  if (dialect === "calico") return running || init ? "yes" : "no";
  if (dialect === "kube-network-policies" || dialect === "kube-router")
    return running ? "yes" : "no";
  const own: Tri = running ? "yes" : init ? "maybe" : "no";
  if (dialect === "generic" || type === "Ingress") return own;
  const numbers = new Set(
    world.pods
      .filter(
        (pod) =>
          pod.spec?.hostNetwork !== true &&
          pod.status?.phase !== "Succeeded" &&
          pod.status?.phase !== "Failed",
      )
      .flatMap((pod) => [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])])
      .flatMap((container) => container.ports ?? [])
      .filter(
        ({ name, protocol = "TCP" }) =>
          name === named.name && protocol === (named.protocol ?? protocol),
      )
      .map(({ containerPort }) => containerPort),
  );
  if (numbers.size > 1) return running || init ? "maybe" : "no";
  if (own === "yes") return "yes";
  const fits = named.protocol === undefined || PROTOCOLS[named.protocol] === attempt.protocol;
  return fits && attempt.port !== undefined && numbers.has(attempt.port) ? "maybe" : own;
}

/** Through a Service of its own. */
export function isToItself(attempt: Asking): boolean {
  return attempt.asked !== undefined && sameAddress(attempt.source, attempt.destination);
}
