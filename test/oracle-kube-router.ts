/**
 * The evaluator's kube-router: what its rules come to where that is not what the API says
 * (docs/dialects.md). Shares no code with what is checked.
 */
import type { Answer, Decision } from "./oracle.ts";
import { allOf, anyOf, type Asking, type Tri } from "./oracle-dialects.ts";
import {
  inBlock,
  namespaceLabels,
  namespaceOf,
  nodeAt,
  podAt,
  PROTOCOLS,
  selects,
  type RawPeer,
  type RawPod,
  type RawPolicy,
  type RawPort,
  type RawRule,
  type World,
} from "./oracle-objects.ts";

/** What the chains of the two ends say; undefined where none is asked. */
export function judgeByRouter(world: World, attempt: Asking): Answer {
  const source = podAt(world, attempt.source);
  const destination = podAt(world, attempt.destination);
  // Pings pass in both families.
  if (attempt.protocol === 1 || attempt.protocol === 58) return UNASKED;
  const node = nodeAt(world, attempt.source);
  if (destination !== undefined && node !== undefined && node === destination.spec?.nodeName) {
    return UNASKED;
  }
  const ownNode =
    source !== undefined && source.spec?.nodeName === nodeAt(world, attempt.destination);
  const { protocol, port = 0 } = attempt;
  if (ownNode && [6, 17].includes(protocol) && port >= 30000 && port <= 32767) return UNASKED;
  const asked: Asked = { world, attempt, source, destination };
  const egress = source && chainSays(source, asked);
  // A pod to itself: its chain is asked once for both.
  const ingress =
    destination === undefined || destination === source ? undefined : chainSays(destination, asked);
  const answers = [egress, ingress].filter((answer) => answer !== undefined);
  return { allowed: known(allOf(answers.map(({ says }) => says))), egress, ingress };
}

const UNASKED: Answer = { allowed: true, egress: undefined, ingress: undefined };

function known(answer: Tri): boolean | undefined {
  return answer === "maybe" ? undefined : answer === "yes";
}

interface Asked {
  readonly world: World;
  readonly attempt: Asking;
  readonly source: RawPod | undefined;
  readonly destination: RawPod | undefined;
}

/** One pod's chain: any of the chains that it jumps to is enough, for whichever direction it was meant. */
function chainSays(pod: RawPod, asked: Asked): Decision & { readonly says: Tri } {
  const { world, source, destination } = asked;
  const sends = pod === source;
  const receives = pod === destination;
  const own = world.policies.filter((policy) => isTarget(policy, pod));
  const jumped = own.filter(
    (policy) =>
      (has(policy, "Ingress") && receives) ||
      (has(policy, "Egress") && sends) ||
      has(policy, "both"),
  );
  const isolatingFor = (type: "Egress" | "Ingress"): RawPolicy[] =>
    own.filter((policy) => has(policy, type));
  const sides = [
    ...(sends ? [isolatingFor("Egress")] : []),
    ...(receives ? [isolatingFor("Ingress")] : []),
  ];
  const free = sides.some((isolating) => isolating.length === 0);
  const says = anyOf([
    ...(free ? ["yes" as const] : []),
    ...jumped.map((policy) => policyAllows(policy, asked)),
  ]);
  const isolating = free ? [] : (sides[0] ?? []).map(nameOf).sort();
  return {
    says,
    allowed: known(says),
    isolating,
    allowing: jumped.filter((policy) => policyAllows(policy, asked) !== "no").map(nameOf),
    // The refusal names those that isolate the pod, what it sends first.
    denials: [isolating.join()],
  };
}

function nameOf(policy: RawPolicy): string {
  return `${namespaceOf(policy)}/${policy.metadata.name}`;
}

function has({ spec }: RawPolicy, what: "Ingress" | "Egress" | "both"): boolean {
  const declared = spec.policyTypes ?? [];
  const egress = declared.length > 0 ? declared.includes("Egress") : (spec.egress ?? []).length > 0;
  const ingress = declared.length > 0 ? declared.includes("Ingress") : true;
  if (what === "both") return ingress && egress;
  return what === "Ingress" ? ingress : egress;
}

function isTarget(policy: RawPolicy, pod: RawPod): boolean {
  return (
    namespaceOf(policy) === namespaceOf(pod) &&
    selects(policy.spec.podSelector ?? {}, pod.metadata.labels ?? {})
  );
}

function policyAllows(policy: RawPolicy, asked: Asked): Tri {
  const { source, destination } = asked;
  const { spec } = policy;
  const atDestination = destination !== undefined && isTarget(policy, destination);
  const atSource = source !== undefined && isTarget(policy, source);
  return anyOf([
    ...(atDestination && has(policy, "Ingress") ? (spec.ingress ?? []) : []).map((rule) =>
      ruleAllows(policy, rule, "from", asked),
    ),
    ...(atSource && has(policy, "Egress") ? (spec.egress ?? []) : []).map((rule) =>
      ruleAllows(policy, rule, "to", asked),
    ),
  ]);
}

function ruleAllows(policy: RawPolicy, rule: RawRule, side: "from" | "to", asked: Asked): Tri {
  const { world, attempt, source, destination } = asked;
  const peers = (side === "from" ? rule.from : rule.to) ?? [];
  const ports = rule.ports ?? [];
  const targets = livePods(world).filter((pod) => isTarget(policy, pod));
  const numbers: Tri = ports.some((port) => isNumber(port, attempt)) ? "yes" : "no";
  if (peers.length === 0) {
    if (ports.length === 0) return "yes";
    if (side === "from") return anyOf([numbers, namesAllow(ports, targets, asked)]);
    // Any destination at a number that a pod of the policy's namespace calls so.
    const near = livePods(world).filter((pod) => namespaceOf(pod) === namespaceOf(policy));
    const named = near.some((pod) => ports.some((port) => calls(pod, port, attempt)));
    return named ? "yes" : numbers;
  }
  const chosen = livePods(world).filter((pod) =>
    peers.some((peer) => isPeer(world, policy, peer, pod)),
  );
  const peer = side === "from" ? source : destination;
  const answers: Tri[] = [];
  if (peer !== undefined && chosen.includes(peer)) {
    const named = side === "from" ? targets : chosen;
    const means = (port: RawPort): boolean => named.some((pod) => numbersOf(pod, port).length > 0);
    const nothing = ports.every((port) => typeof port.port === "string" && !means(port));
    answers.push(nothing ? "yes" : anyOf([numbers, namesAllow(ports, named, asked)]));
  }
  const address = side === "from" ? attempt.source : attempt.destination;
  const inside = blocksHold(peers, address);
  const names = side === "from" ? namesAllow(ports, targets, asked) : "no";
  answers.push(allOf([inside, ports.length === 0 ? "yes" : anyOf([numbers, names])]));
  return anyOf(answers);
}

function isPeer(world: World, policy: RawPolicy, peer: RawPeer, pod: RawPod): boolean {
  const { namespaceSelector, podSelector, ipBlock } = peer;
  if (ipBlock !== undefined) return false;
  const near =
    namespaceSelector === undefined
      ? namespaceOf(pod) === namespaceOf(policy)
      : selects(namespaceSelector, namespaceLabels(world, namespaceOf(pod)));
  return near && selects(podSelector ?? {}, pod.metadata.labels ?? {});
}

function livePods({ pods }: World): RawPod[] {
  return pods.filter(
    ({ spec, status }) =>
      spec?.hostNetwork !== true &&
      status?.phase !== "Succeeded" &&
      status?.phase !== "Failed" &&
      (status?.podIPs ?? []).length > 0,
  );
}

function isNumber({ protocol = "TCP", port, endPort }: RawPort, attempt: Asking): boolean {
  if (PROTOCOLS[protocol] !== attempt.protocol || typeof port === "string") return false;
  if (port === undefined) return true;
  return attempt.port !== undefined && attempt.port >= port && attempt.port <= (endPort ?? port);
}

/** The destination calls the number so; or another pod does, and the lists of both may have become one. */
function namesAllow(ports: readonly RawPort[], grabbed: readonly RawPod[], asked: Asked): Tri {
  const { attempt, destination } = asked;
  if (destination === undefined || !grabbed.includes(destination)) return "no";
  if (ports.some((port) => calls(destination, port, attempt))) return "yes";
  return grabbed.some((pod) => ports.some((port) => calls(pod, port, attempt))) ? "maybe" : "no";
}

function calls(pod: RawPod, port: RawPort, attempt: Asking): boolean {
  if (PROTOCOLS[port.protocol ?? "TCP"] !== attempt.protocol) return false;
  return numbersOf(pod, port).some((number) => number === attempt.port);
}

function numbersOf({ spec }: RawPod, { protocol: wanted = "TCP", port }: RawPort): number[] {
  if (typeof port !== "string") return [];
  return (spec?.containers ?? [])
    .flatMap(({ ports = [] }) => ports)
    .filter(({ name, protocol = "TCP" }) => name === port && protocol === wanted)
    .map(({ containerPort }) => containerPort);
}

/** A rule's blocks are one set: the longest prefix says whether it holds an address. */
function blocksHold(peers: readonly RawPeer[], address: string): Tri {
  let longest = -1;
  let says: Tri = "no";
  const add = (cidr: string, within: Tri): void => {
    const length = Number(cidr.split("/")[1]);
    if (!inBlock(address, cidr) || length < longest) return;
    says = length === longest && says !== within ? "maybe" : within;
    longest = length;
  };
  for (const { ipBlock } of peers) {
    if (ipBlock === undefined) continue;
    const whole = ipBlock.cidr.endsWith("/0");
    const six = ipBlock.cidr.includes(":");
    const cidrs = !whole
      ? [ipBlock.cidr]
      : six
        ? ["2000::/3", "fd00::/8"]
        : ["0.0.0.0/1", "128.0.0.0/1"];
    for (const cidr of cidrs) add(cidr, "yes");
    for (const cidr of ipBlock.except ?? []) add(cidr, "no");
  }
  return says;
}
