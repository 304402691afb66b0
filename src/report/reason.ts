/**
 * The sentence that says why a verdict is what it is, and the policy it points to. Sentences hold
 * names from the input as they are: whoever prints them escapes them.
 */
import { formatAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import { formatPlace } from "../errors.ts";
import type { Place } from "../errors.ts";
import type { Judgement, RuleRef, Tuple } from "../engine/verdict.ts";
import { formatPolicyName, formatPolicyRef } from "../policy/model.ts";
import type { Direction, PolicyRef, RuleAction } from "../policy/model.ts";
import { DEFAULT_TIER } from "../policy/order.ts";
import type { Route, RuleOrigin } from "../tables/model.ts";
import { dialectText, openText } from "./dialect-words.ts";

/** What a sentence is about: a packet or a flow, and its verdict. */
export type Judged = Tuple & Judgement & { readonly reply?: boolean };

const MISSING: Readonly<Record<CaptureNature, string>> = {
  frames: "beyond the snap length",
  text: "not in the capture's text",
  question: "not given: say --port PORT/PROTOCOL",
};

/** The policy a verdict points to. */
export interface PolicyPoint {
  readonly policy: PolicyRef;
  readonly direction: Direction;
  /** Position in the policy's list; undefined for an isolation, which no single rule stands for. */
  readonly rule: number | undefined;
  readonly place: Place;
}

/** Where the facts of a packet come from: missing ones were cut off, not spelt out, or not asked. */
export type CaptureNature = "frames" | "text" | "question";

/**
 * The rule a verdict is attributed to: for `allow` the last one that stands for a policy, for `drop`
 * the one that stopped the packet, for `unknown` the one whose match lacked the fact.
 */
export function decidingRule(judgement: Judgement): RuleRef | undefined {
  switch (judgement.verdict) {
    case "allow":
      return judgement.decider ?? judgement.rule;
    case "drop":
      return judgement.rule ?? judgement.decider;
    case "unknown":
      return judgement.undecidedRule;
    case "unfiltered":
      return undefined;
  }
}

/** What the verdict's rule stands for, in policy words. */
export function decidingOrigin(judgement: Judgement): RuleOrigin | undefined {
  return ruleWithOrigin(judgement)?.rule?.origin;
}

/** The verdict's rule, or the one behind it that stands for something where that one does not. */
export function ruleWithOrigin(judgement: Judgement): RuleRef | undefined {
  const deciding = decidingRule(judgement);
  if (deciding?.rule?.origin !== undefined || judgement.verdict === "unknown") return deciding;
  return judgement.decider;
}

/** The policy that a verdict points to; undefined when no policy had a part in it. */
export function policyPoint(judgement: Judgement): PolicyPoint | undefined {
  const origin = decidingOrigin(judgement);
  return origin === undefined ? undefined : policyPointOf(origin);
}

/** The policy that a rule stands for; for an isolation the first of those that isolate. */
export function policyPointOf(origin: RuleOrigin): PolicyPoint | undefined {
  return policyPointsOf(origin)[0];
}

/** Every policy that a rule stands for: several for an isolation, none for plumbing. */
export function policyPointsOf(origin: RuleOrigin): PolicyPoint[] {
  switch (origin.kind) {
    case "policy-rule": {
      const { policy, direction, rule, place } = origin;
      return [{ policy, direction, rule, place }];
    }
    case "isolation":
    case "tie": {
      const { direction } = origin;
      return origin.policies.map((each) => ({ ...each, direction, rule: undefined }));
    }
    case "not-isolated":
    case "established":
    case "invalid":
    case "node-traffic":
    case "profile-rule":
    case "host-closed":
    case "host-forward":
    case "failsafe":
    case "to-host":
    case "spoofed":
    case "tunnel":
    case "dialect":
    case "service":
    case "service-unknown":
    case "pod-range-unknown":
    case "service-refused":
    case "host-port":
    case "host-port-unknown":
      return [];
  }
}

/** Of a Node's external address. */
function perhapsOfNode(route: Route | undefined, address: string): string | undefined {
  if (route?.perhapsLocal !== true) return undefined;
  return `nothing tells whether ${route.owner ?? "the node"} has its ExternalIP ${address} itself, or a cloud translates it`;
}

/** Says in one sentence part why the verdict is what it is. */
export function explainReason(judged: Judged, nature: CaptureNature = "frames"): string {
  const missing = (what: string): string => `${what} ${MISSING[nature]}`;
  switch (judged.reason) {
    case "rule":
      return explainRule(judged);
    case "chain-policy": {
      // What policies let through may meet the end of a chain all the same.
      return (
        (judged.verdict === "allow" ? explainDecider(judged) : undefined) ?? "no rule stops it"
      );
    }
    case "not-ip":
      return "not an IP packet";
    case "other-host":
      return "addressed to another host: the IP stack never sees it";
    case "same-endpoint":
      return `${judged.destinationRoute?.owner ?? "the pod"} talks to itself: the packet never leaves it`;
    case "bad-header":
      return "the IP header is malformed: Linux discards the packet before any rule";
    case "no-route":
      return `no route to ${destinationText(judged)}`;
    case "no-endpoint":
      return `neither ${addressText(judged.source)} nor ${destinationText(judged)} is an address of the cluster`;
    case "missing-source":
      return (
        perhapsOfNode(judged.sourceRoute, addressText(judged.source)) ??
        `no pod has address ${addressText(judged.source)}`
      );
    case "missing-destination":
      return (
        perhapsOfNode(judged.destinationRoute, destinationText(judged)) ??
        `no pod has address ${destinationText(judged)}`
      );
    case "unresolved-source":
      return `nobody knows the address of host name ${judged.sourceName ?? "of the source"}`;
    case "unresolved-destination":
      return `nobody knows the address of host name ${judged.destinationName ?? "of the destination"}`;
    case "no-address":
      return missing("addresses are");
    case "no-protocol":
      return missing("protocol is");
    case "no-ports":
      return missing("ports are");
    case "no-tcp-flags":
      return missing("TCP flags are");
    case "no-chunks":
      return missing("SCTP chunks are");
    case "no-icmp":
      return missing("ICMP header, or the packet that an error quotes, is");
    case "link-type":
      return "the link type of its interface is not supported";
    case "backend":
      return `the backends of Service address ${addressText(judged.destination)} are judged differently, and ${nature === "question" ? "chance decides which one it gets" : "the capture does not show which one it was"}`;
    case "too-many-paths":
      return "too many facts are missing to try every combination";
    case "conntrack-full":
      return "the conntrack table was full: whether it has the connection is not known";
    case "no-tables":
      return `no tables for IPv${judged.family ?? "4 or IPv6"} were given`;
    case "too-many-rules":
      return "the walk visits more rules than one packet may cost";
    case "no-backends":
      return (
        explainMissing(judged.undecidedRule?.rule?.origin) ??
        `the manifests do not show the backends of ${judged.destinationRoute?.owner ?? "the Service"}`
      );
    case "not-modelled":
      return (
        explainMissing(judged.undecidedRule?.rule?.origin) ??
        `${ruleText(judged)} has a match or target that is not modelled`
      );
    case "no-payload":
      return `${ruleText(judged)} looks at bytes that are ${MISSING[nature]}`;
    case "no-mac":
      return `${ruleText(judged)} looks at a MAC address, which the capture does not show`;
    case "no-time":
      return `${ruleText(judged)} looks at the time: the packet's, the node's zone or its clock's tick is not known for certain`;
    case "no-socket":
      return `${ruleText(judged)} looks at the local socket, which no capture shows`;
    case "random":
      return `${ruleText(judged)} draws at random, and the outcomes differ`;
    case "nat-port":
      return "the node chose the source port of a translated flow itself, and the capture does not show it";
    case "state":
      return `${ruleText(judged)} looks at state that an undecided packet may have changed`;
    case "multipath":
      return `several routes of equal rank lead to ${destinationText(judged)}`;
    case "no-in-interface":
      return "the capture does not show by which interface the packet arrived: say --in-interface";
    case "queue":
      return `${ruleText(judged)} hands the packet to user space`;
    case "no-fragments":
      return "the capture does not show all fragments of the datagram";
    case "no-header":
      return `${ruleText(judged)} looks at a header field that is ${MISSING[nature]}`;
    case "no-set":
      return `${ruleText(judged)} looks at a set whose members are not known`;
    case "multicast":
      return `whether the node has joined ${destinationText(judged)} is not in what was given`;
    case "no-routes":
      return `where the node sends packets to ${destinationText(judged)} was not given`;
    case "no-way":
      return "by which of the node's interfaces it comes or goes is not known, and host endpoints tell them apart";
    case "no-group":
      return `${ruleText(judged)} looks at the group of an interface, which was not told by number`;
    case "connection":
      return "the node's dump has its connection in a flow table or in a zone of one direction, which is not modelled";
    case "no-forwarding":
      return "the node does not forward packets that arrive there (net.ipv4.ip_forward, net.ipv4.conf.*.forwarding, net.ipv6.conf.all.forwarding)";
    case "window":
      return "it may not fit its connection, whose TCP windows or SCTP tags are not in the node's dump";
    case "table-order":
      return "iptables-legacy and iptables-nft both have rules, and no dump shows which come first";
    case "out-interface":
      return "it gets through, and by which interface depends on what is not known";
    case "martian":
      return `${addressText(judged.source)} cannot be the source of a packet that arrives there`;
    case "bridged":
      return "a bridge hands it from port to port, and iptables does not see that (net.bridge.bridge-nf-call-iptables)";
    case "no-vlan":
      return "no interface of the node has its VLAN: the IP stack never sees it";
    case "bridge-calls":
      return "whether iptables sees what a bridge hands from port to port (net.bridge.bridge-nf-call-iptables, -ip6tables), or that this packet is handed on so, is not in what was given";
    case "astray":
      return "what takes the frames of that interface is not modelled (a VRF, Open vSwitch, a bridge that keeps VLANs apart), or was not given";
    case "deadline":
      return "whether its connection's time was up when it came depends on the ticks of the kernel's clock, on what the dump of connections rounds, or on whether the flow was a stream by then";
    case "ttl-left":
      return "how many nodes it has before it, which discard it for its TTL or its options, is not shown by the capture";
    case "masqueraded":
      return "whether the node itself began it, or a client whose address the node has replaced by its own (a Service, a host port), is not shown by the capture";
    case "answered":
      return "whether it answers a packet that was tracked and refused, whose connection it then has (RELATED), or one that was INVALID, is not shown by the capture";
    case "too-long":
      return "it is longer than the MTU of the way out, and may not be cut: Linux discards it before FORWARD";
    case "segments":
      return "it is longer than the MTU of the way out, and the capture does not show whether it may be cut, how long it is to the byte, or that it is one segment, and not several that the node put together";
    case "options":
      return "its IPv4 header has a source route, or options that are malformed: Linux discards the packet behind PREROUTING";
    case "options-unknown":
      return "its header has options that are not modelled there (a source route, a label), or that were not captured, or not printed as a whole";
    case "martian-destination":
      return `nothing that arrives there may be for ${destinationText(judged)}`;
    case "ttl":
      return "the TTL is used up";
    case "blackhole":
      return `the route to ${destinationText(judged)} discards`;
    case "many-fragments":
      return "more fragments wait for the rest of their datagram than are followed";
    case "incomplete":
      return "the rest of its datagram did not come: Linux puts fragments together before any rule, and gives up";
    case "bad-fragments":
      return "the fragments overlap or make too long a datagram: Linux discards them";
    case "nat-failed":
      return "no address or port is free to translate the connection to";
    case "by-node":
      return "the node by which it comes masquerades it, and nothing tells which node that is, or with which of its addresses";
    case "outgoing":
      return "whether the node of the pod masquerades what leaves the pods' ranges, no object tells";
    case "no-node":
      return `the manifests do not say on which node ${podWithoutNode(judged)} runs, and traffic with its own node is not policed`;
  }
}

/** The same, with the names of the policies when several isolate: for where they are not listed beside. */
export function explainReasonInFull(judged: Judged, nature: CaptureNature): string {
  const sentence = explainReason(judged, nature);
  const origin = judged.reason === "rule" ? decidingOrigin(judged) : undefined;
  const points = origin?.kind === "isolation" ? policyPointsOf(origin) : [];
  if (points.length < 2) return sentence;
  return `${sentence} (${points.map(({ policy }) => formatPolicyName(policy)).join(", ")})`;
}

function explainDecider(judged: Judged): string | undefined {
  const { rule, owner } = ruleWithOrigin(judged) ?? {};
  const reply = judged.reply === true;
  return rule?.origin === undefined ? undefined : explainOrigin(rule.origin, { owner, reply });
}

/** Says what a rule with an origin does to a packet that it matches; `owner`: of the rule's chain. */
export function explainOrigin(
  origin: RuleOrigin,
  { owner, reply }: { readonly owner: string | undefined; readonly reply: boolean },
): string {
  switch (origin.kind) {
    case "policy-rule":
      return `${formatPolicyName(origin.policy)} ${origin.direction}[${origin.rule}] ${EFFECT_WORDS[origin.effect]}`;
    case "isolation": {
      const tier = origin.tier === DEFAULT_TIER.name ? "" : ` in tier ${origin.tier}`;
      return `no ${origin.direction} rule of the policies selecting ${named(owner)}${tier} matches`;
    }
    case "not-isolated":
      return `no policy isolates it for ${origin.direction}`;
    case "established":
      return reply
        ? "established: reply of an allowed flow"
        : "established: belongs to an allowed flow";
    case "invalid":
      return "invalid: conntrack knows no flow of it, and it cannot start one";
    case "tie":
      return `the API does not say which comes first of ${tiedText(origin.policies)}`;
    case "node-traffic":
      return "traffic between a node and its own pods is never policed";
    case "profile-rule": {
      const { profile, direction, rule, effect, place } = origin;
      if (rule === undefined) {
        return effect === "allow"
          ? `profile ${profile} lets everything through`
          : `there is no profile ${profile}, which denies everything`;
      }
      return `profile ${profile} ${direction}[${rule}] ${EFFECT_WORDS[effect]}${placeText(place)}`;
    }
    case "host-closed":
      return `nothing allows ${origin.direction} of ${named(owner)}, and host endpoints drop what no policy or profile allows${placeText(origin.place)}`;
    case "host-forward":
      return `no policy of ${named(owner)} says anything about what is forwarded`;
    case "failsafe":
      return `a failsafe port of host endpoints, which no policy closes${placeText(origin.place)}`;
    case "to-host":
      return `Felix's DefaultEndpointToHostAction for what pods send to their node: ${origin.action}`;
    case "spoofed":
      return "the source is not an address of the pod that sends it";
    case "tunnel":
      return `no node that is known sends ${origin.what} packets from there, and no other host may`;
    case "dialect":
      return origin.answer === "open" ? openText(origin.about) : dialectText(origin.about);
    case "service":
      return `Service ${origin.service} chooses the backend`;
    case "service-unknown":
      return `nothing tells the backends of Service ${origin.service}`;
    case "pod-range-unknown":
      return "nothing tells by which range kube-proxy knows pods (--cluster-cidr): the one that holds all ranges of pods holds others, too";
    case "host-port":
      return `hostPort ${origin.hostPort} leads there${placeText(origin.place)}`;
    case "host-port-unknown":
      return origin.missing;
    case "service-refused":
      return REFUSALS[origin.why](origin.service);
  }
}

const REFUSALS: Readonly<
  Record<Extract<RuleOrigin, { kind: "service-refused" }>["why"], (service: string) => string>
> = {
  "no backend": (service) => `Service ${service} has no ready endpoint`,
  "no local backend": (service) =>
    `Service ${service} has no endpoint on the node, and its traffic policy is Local`,
  source: (service) => `the source is not in loadBalancerSourceRanges of Service ${service}`,
};

/** Says what a compiled rule lacks; undefined for others. */
function explainMissing(origin: RuleOrigin | undefined): string | undefined {
  if (origin?.kind === "tie") {
    return `${tiedText(origin.policies)} have equal priorities and disagree: which of them decides is undefined`;
  }
  if (origin?.kind === "dialect") return openText(origin.about);
  if (
    origin?.kind === "service-unknown" ||
    origin?.kind === "pod-range-unknown" ||
    origin?.kind === "host-port-unknown"
  ) {
    return explainOrigin(origin, { owner: undefined, reply: false });
  }
  if (origin?.kind !== "policy-rule") return undefined;
  const { policy, direction, rule, missing, open } = origin;
  if (open !== undefined) {
    return `${formatPolicyName(policy)} ${direction}[${rule}] hangs on more than it says: ${openText(open)}`;
  }
  if (missing === undefined) return undefined;
  return `${formatPolicyName(policy)} ${direction}[${rule}] asks for ${missing}, which nothing tells for certain`;
}

function tiedText(policies: readonly { readonly policy: PolicyRef }[]): string {
  return policies.map(({ policy }) => formatPolicyRef(policy)).join(" and ");
}

const EFFECT_WORDS: Readonly<Record<RuleAction | "part", string>> = {
  allow: "allows it",
  deny: "denies it",
  pass: "passes it to the next tier",
  log: "logs it",
  part: "may match it",
};

function named(owner: string | undefined): string {
  if (owner === undefined) throw new Error("bug: the rule's chain has no owner");
  return owner;
}

function placeText(place: Place | undefined): string {
  return place === undefined ? "" : ` (${formatPlace(place)})`;
}

function explainRule(judged: Judged): string {
  const explained = explainDecider(judged);
  if (explained !== undefined) return explained;
  const rule = decidingRule(judged);
  if (rule === undefined) return "no rule stops it";
  if (rule.rule === undefined) return `chain policy of ${rule.chain} in table ${rule.table}`;
  const comment = rule.rule.matches.find((match) => match.kind === "comment");
  const says = comment === undefined ? "" : `: ${comment.text}`;
  const where = placeText(rule.rule.place);
  return `rule ${rule.number} of chain ${rule.chain} in table ${rule.table}${where}${says}`;
}

function ruleText({ undecidedRule }: Judged): string {
  if (undecidedRule === undefined) return "a rule";
  const { number, chain, table } = undecidedRule;
  return `rule ${number} of chain ${chain} in table ${table}`;
}

function podWithoutNode(judged: Judged): string {
  const routes = [judged.sourceRoute, judged.destinationRoute];
  const pod = routes.find((route) => route?.owner !== undefined && route.node === undefined);
  return pod?.owner ?? "the pod";
}

function destinationText(judged: Judged): string {
  return addressText(judged.translated?.address ?? judged.destination);
}

function addressText(address: Address | undefined): string {
  return address === undefined ? "an unknown address" : formatAddress(address);
}
