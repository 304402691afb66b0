/**
 * The evaluator's Calico policies (A-1 to A-15, L-1 to L-3): what tiers, policies and rules make of an
 * attempt, straight from the raw objects. Shares no code with what is checked.
 */
import type { Asked, Outcome } from "./oracle-cluster-wide.ts";
import {
  inBlock,
  namespaceLabels,
  namespaceOf,
  podAt,
  sameAddress,
  type Attempt,
  type RawMetadata,
  type RawPod,
  type World,
} from "./oracle-objects.ts";

/** Calico's objects of a world. */
export interface RawCalico {
  readonly tiers: readonly RawTier[];
  readonly policies: readonly RawCalicoPolicy[];
  readonly networkSets: readonly RawNetworkSet[];
  readonly serviceAccounts: readonly { readonly metadata: RawMetadata }[];
  readonly hostEndpoints?: readonly RawHostEndpoint[];
  readonly profiles?: readonly RawProfile[];
  readonly felix?: readonly RawFelix[];
}

export interface RawHostEndpoint {
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly node: string;
    readonly interfaceName?: string;
    readonly expectedIPs?: readonly string[];
    readonly profiles?: readonly string[];
    readonly ports?: readonly {
      readonly name: string;
      readonly protocol: string;
      readonly port: number;
    }[];
  };
}

export interface RawProfile {
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly labelsToApply?: Readonly<Record<string, string>>;
    readonly ingress?: readonly RawCalicoRule[];
    readonly egress?: readonly RawCalicoRule[];
  };
}

/** FelixConfiguration. */
export interface RawFelix {
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly failsafeInboundHostPorts?: readonly RawFailsafe[];
    readonly failsafeOutboundHostPorts?: readonly RawFailsafe[];
  };
}

export interface RawFailsafe {
  readonly protocol: string;
  readonly port: number;
  readonly net?: string;
}

export interface RawTier {
  readonly metadata: RawMetadata;
  readonly spec: { readonly order?: number; readonly defaultAction?: string };
}

/** NetworkPolicy or GlobalNetworkPolicy. */
export interface RawCalicoPolicy {
  readonly kind: string;
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly tier?: string;
    readonly order?: number;
    readonly selector?: string;
    readonly namespaceSelector?: string;
    readonly serviceAccountSelector?: string;
    readonly types?: readonly string[];
    readonly applyOnForward?: boolean;
    readonly preDNAT?: boolean;
    readonly doNotTrack?: boolean;
    readonly ingress?: readonly RawCalicoRule[];
    readonly egress?: readonly RawCalicoRule[];
  };
}

export interface RawCalicoRule {
  readonly action: string;
  readonly ipVersion?: number;
  readonly protocol?: string | number;
  readonly notProtocol?: string | number;
  readonly icmp?: { readonly type?: number; readonly code?: number };
  readonly notICMP?: { readonly type?: number; readonly code?: number };
  readonly source?: RawEntity;
  readonly destination?: RawEntity;
}

export interface RawEntity {
  readonly nets?: readonly string[];
  readonly notNets?: readonly string[];
  readonly selector?: string;
  readonly notSelector?: string;
  readonly namespaceSelector?: string;
  readonly serviceAccounts?: { readonly names?: readonly string[]; readonly selector?: string };
  readonly services?: { readonly name: string; readonly namespace?: string };
  readonly ports?: readonly (number | string)[];
  readonly notPorts?: readonly (number | string)[];
}

/** NetworkSet, or GlobalNetworkSet where the metadata has no namespace. */
export interface RawNetworkSet {
  readonly metadata: RawMetadata;
  readonly spec: { readonly nets: readonly string[] };
}

/** One direction of an attempt. */
export type RuleAsked = Pick<Asked, "world" | "type" | "attempt">;

/** One tier's say, asked in the order of `order`, then `name`. */
export interface Stage {
  readonly name: string;
  readonly order: number;
  readonly decide: (next: () => Outcome[]) => Outcome[];
}

/** What a policy makes of an attempt in the default tier, where Kubernetes policies are too. */
export interface DefaultTierPolicy {
  /** `namespace/name`. */
  readonly text: string;
  /** What policies of equal order are told apart by. */
  readonly tie: string;
  readonly order: number;
  readonly action: "Allow" | "Deny" | "Pass" | undefined;
}

/** The tiers of Calico's policies; the Kubernetes policies that isolate the pod are in the default one. */
export function calicoStages(asked: Asked, kubernetes: readonly DefaultTierPolicy[]): Stage[] {
  const { policies } = asked.world.calico!;
  const { world, pod } = asked;
  const labels = podLabels(world, pod);
  const selecting = policies.filter(
    (policy) =>
      policy.spec.preDNAT !== true &&
      policy.spec.doNotTrack !== true &&
      appliesTo(labels, namespaceOf(pod), policy) &&
      typesOf(policy).includes(asked.type),
  );
  return stagesOf(asked, selecting, kubernetes);
}

/** Tiers of policies that select whoever is asked, in the direction; the default one always. */
export function stagesOf(
  asked: RuleAsked,
  selecting: readonly RawCalicoPolicy[],
  kubernetes: readonly DefaultTierPolicy[],
): Stage[] {
  const { tiers } = asked.world.calico!;
  const names = new Set(["default", ...selecting.map(({ spec }) => spec.tier ?? "default")]);
  return [...names].map((name): Stage => {
    const tier = tiers.find(({ metadata }) => metadata.name === name);
    const own: DefaultTierPolicy[] = selecting
      .filter(({ spec }) => (spec.tier ?? "default") === name)
      .map((policy) => ({
        text: textOf(policy),
        tie: `${policy.metadata.name}/${policy.metadata.namespace ?? ""}/${policy.kind}`,
        order: policy.spec.order ?? Infinity,
        action: actionOf(asked, policy),
      }));
    const all = [...own, ...(name === "default" ? kubernetes : [])].sort(
      (one, other) =>
        (one.order === other.order ? 0 : one.order - other.order) || (one.tie < other.tie ? -1 : 1),
    );
    // A-1
    const order = name === "default" ? 1_000_000 : (tier?.spec.order ?? Infinity);
    const passes = name !== "default" && tier?.spec.defaultAction === "Pass";
    return { name, order, decide: (next) => decideTier(all, passes, next) };
  });
}

/** A-5: only tiers with a policy for the endpoint and direction count. */
function decideTier(
  policies: readonly DefaultTierPolicy[],
  passes: boolean,
  next: () => Outcome[],
): Outcome[] {
  if (policies.length === 0) return next();
  const deciding = policies.find(({ action }) => action !== undefined);
  if (deciding === undefined) {
    if (passes) return next();
    return [{ allowed: false, by: undefined, isolating: policies.map(({ text }) => text) }];
  }
  if (deciding.action === "Pass") return next();
  return [{ allowed: deciding.action === "Allow", by: deciding.text }];
}

function textOf({ kind, metadata }: RawCalicoPolicy): string {
  return metadata.namespace === undefined
    ? `${kind} ${metadata.name}`
    : `${metadata.namespace}/${metadata.name}`;
}

/** A-3 */
export function typesOf({ spec }: RawCalicoPolicy): readonly string[] {
  if (spec.types !== undefined && spec.types.length > 0) return spec.types;
  const [ingress = [], egress = []] = [spec.ingress, spec.egress];
  if (egress.length === 0) return ["Ingress"];
  return ingress.length === 0 ? ["Egress"] : ["Ingress", "Egress"];
}

/** A-4 */
export function appliesTo(
  labels: Labels,
  namespace: string | undefined,
  { kind, metadata, spec }: RawCalicoPolicy,
): boolean {
  const { namespaceSelector = "", serviceAccountSelector = "" } = spec;
  // A-4: beside a cluster-wide selector of namespaces or accounts, all() is what is in one, or has one.
  const all =
    kind !== "GlobalNetworkPolicy"
      ? ""
      : namespaceSelector !== ""
        ? "namespace"
        : serviceAccountSelector !== ""
          ? "serviceaccount"
          : "";
  const selector = (spec.selector ?? "").replace(
    /all\([ \t]*\)/g,
    all === "" ? "all()" : `has(projectcalico.org/${all})`,
  );
  return (
    (kind === "GlobalNetworkPolicy" || namespaceOf({ metadata }) === namespace) &&
    chooses(selector, labels) &&
    (namespaceSelector === "" || chooses(namespaceSelector, labels, "pcns.")) &&
    (serviceAccountSelector === "" || chooses(serviceAccountSelector, labels, "pcsa."))
  );
}

/** The action of the first rule that matches and decides; Log does not. */
function actionOf(asked: RuleAsked, policy: RawCalicoPolicy): DefaultTierPolicy["action"] {
  const rules = asked.type === "Ingress" ? policy.spec.ingress : policy.spec.egress;
  const namespace = policy.kind === "NetworkPolicy" ? namespaceOf(policy) : undefined;
  const rule = (rules ?? []).find(
    (one) => one.action !== "Log" && ruleMatches(asked.world, one, namespace, asked.attempt),
  );
  return rule?.action as DefaultTierPolicy["action"];
}

const NUMBERS: Readonly<Record<string, number>> = {
  tcp: 6,
  udp: 17,
  icmp: 1,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};

function protocolNumber(protocol: string | number): number {
  return typeof protocol === "number" ? protocol : NUMBERS[protocol.toLowerCase()]!;
}

/** A-9 */
export function ruleMatches(
  world: World,
  rule: RawCalicoRule,
  namespace: string | undefined,
  attempt: Attempt,
): boolean {
  const six = attempt.source.includes(":");
  const implied = typeof rule.protocol === "string" ? rule.protocol.toLowerCase() : "";
  const version = rule.ipVersion ?? { icmp: 4, icmpv6: 6 }[implied];
  if (version !== undefined && version !== (six ? 6 : 4)) return false;
  if (rule.protocol !== undefined && protocolNumber(rule.protocol) !== attempt.protocol)
    return false;
  if (rule.notProtocol !== undefined && protocolNumber(rule.notProtocol) === attempt.protocol) {
    return false;
  }
  // Attempts are echo requests.
  const type = six ? 128 : 8;
  const isType = (icmp: NonNullable<RawCalicoRule["icmp"]>): boolean =>
    (icmp.type ?? type) === type && (icmp.code ?? 0) === 0;
  if (rule.icmp !== undefined && !isType(rule.icmp)) return false;
  if (rule.notICMP?.type !== undefined && isType(rule.notICMP)) return false;
  return (["source", "destination"] as const).every((side) => {
    const port = side === "source" ? attempt.sourcePort : attempt.port;
    const end: End = { world, side, address: attempt[side], port, protocol: attempt.protocol };
    return entityMatches(end, rule[side] ?? {}, { namespace, protocol: rule.protocol });
  });
}

/** One end of the attempt. */
interface End {
  readonly world: World;
  readonly side: "source" | "destination";
  readonly address: string;
  readonly port: number | undefined;
  readonly protocol: number;
}

interface RuleFacts {
  /** The policy's. */
  readonly namespace: string | undefined;
  readonly protocol: string | number | undefined;
}

function entityMatches(end: End, entity: RawEntity, facts: RuleFacts): boolean {
  const { nets = [], notNets = [], ports = [], notPorts = [] } = entity;
  if (!netsMatch(end, nets, notNets)) return false;
  const { positive, negative } = selectorsOf(entity, facts.namespace);
  const labels = labelsAt(end.world, end.address);
  // A-11: a positive selector takes the negative one in.
  const isChosen = (one: Labels): boolean =>
    (positive === undefined || positive(one)) && !(positive !== undefined && negative?.(one));
  const named = (list: readonly (number | string)[]): string[] =>
    list.filter((port) => typeof port === "string" && !/^\d/.test(port)).map(String);
  const hasName = (list: readonly (number | string)[]): boolean =>
    named(list).some((name) => isNamed(end, name, facts.protocol, isChosen));
  const hasNumber = (list: readonly (number | string)[]): boolean =>
    list.filter((port) => !named([port]).length).some((port) => inRange(end.port, String(port)));
  // A-13: named ports alone say the selector too.
  const onlyNames = ports.length > 0 && named(ports).length === ports.length;
  if (positive !== undefined && !onlyNames && !labels.some(isChosen)) return false;
  if (positive === undefined && negative !== undefined && labels.some(negative)) return false;
  if (ports.length > 0 && !hasNumber(ports) && !hasName(ports)) return false;
  if (notPorts.length > 0 && (hasNumber(notPorts) || hasName(notPorts))) return false;
  return entity.services === undefined || isOfService(end, entity.services, facts.namespace);
}

/** A-15 */
function netsMatch({ address }: End, nets: readonly string[], notNets: readonly string[]): boolean {
  const own = (list: readonly string[]): string[] =>
    list.filter((net) => net.includes(":") === address.includes(":"));
  if (nets.length > 0 && !own(nets).some((net) => inBlock(address, net))) return false;
  if (notNets.length === 0) return true;
  return own(notNets).length > 0 && !own(notNets).some((net) => inBlock(address, net));
}

export type Labels = Readonly<Record<string, string>>;
type Chooser = (labels: Labels) => boolean;

/** A-10 */
function selectorsOf(
  entity: RawEntity,
  namespace: string | undefined,
): { positive: Chooser | undefined; negative: Chooser | undefined } {
  const { selector = "", notSelector = "", namespaceSelector = "", serviceAccounts } = entity;
  const negative: Chooser | undefined =
    notSelector === "" ? undefined : (labels) => chooses(notSelector, labels);
  const inNamespaces: Chooser | undefined =
    namespaceSelector !== ""
      ? (labels) => chooses(namespaceSelector, labels, "pcns.")
      : namespace !== undefined
        ? (labels) => labels["projectcalico.org/namespace"] === namespace
        : undefined;
  const { names = [], selector: accountSelector = "" } = serviceAccounts ?? {};
  const parts: Chooser[] = [
    ...(selector === "" ? [] : [(labels: Labels) => chooses(selector, labels)]),
    ...(accountSelector === ""
      ? []
      : [(labels: Labels) => chooses(accountSelector, labels, "pcsa.")]),
    ...(names.length === 0
      ? []
      : [(labels: Labels) => names.includes(labels["projectcalico.org/serviceaccount"] ?? "")]),
  ];
  const given = parts.length > 0 || namespaceSelector !== "" || (inNamespaces && negative);
  if (!given) return { positive: undefined, negative };
  const all = [...(inNamespaces === undefined ? [] : [inNamespaces]), ...parts];
  return { positive: (labels) => all.every((part) => part(labels)), negative };
}

/** A-12: the pod that has the address, and the network sets that hold it. */
function labelsAt(world: World, address: string): Labels[] {
  const pod = podAt(world, address);
  const sets = world.calico!.networkSets.filter(({ spec }) =>
    spec.nets.some((net) =>
      net.includes("/")
        ? net.includes(":") === address.includes(":") && inBlock(address, net)
        : sameAddress(net, address),
    ),
  );
  return [
    ...(pod === undefined ? [] : [podLabels(world, pod)]),
    ...hostsAt(world, address).map((host) => hostLabels(world, host)),
    ...sets.map(({ metadata }) => ({
      ...(metadata.namespace === undefined ? {} : inherited(world, metadata.namespace)),
      ...metadata.labels,
      ...(metadata.namespace === undefined
        ? {}
        : { "projectcalico.org/namespace": metadata.namespace }),
    })),
  ];
}

/** A-12: host endpoints by their expected addresses. */
function hostsAt(world: World, address: string): RawHostEndpoint[] {
  return (world.calico?.hostEndpoints ?? []).filter(({ spec }) =>
    spec.expectedIPs?.some((one) => sameAddress(one, address)),
  );
}

/** A host endpoint's own labels, and those of its profiles. */
export function hostLabels(world: World, { metadata, spec }: RawHostEndpoint): Labels {
  const inherited = (spec.profiles ?? []).toReversed().map((name) => {
    const profile = world.calico?.profiles?.find((one) => one.metadata.name === name);
    return profile?.spec.labelsToApply ?? {};
  });
  return Object.assign({}, ...inherited, metadata.labels) as Labels;
}

/** A-7, A-8 */
function podLabels(world: World, pod: RawPod): Labels {
  const namespace = namespaceOf(pod);
  const account = pod.spec?.serviceAccountName ?? "default";
  const object = world.calico!.serviceAccounts.find(
    (one) => one.metadata.name === account && namespaceOf(one) === namespace,
  );
  return {
    ...inherited(world, namespace),
    ...prefixed("pcsa.", { ...object?.metadata.labels, "projectcalico.org/name": account }),
    ...pod.metadata.labels,
    "projectcalico.org/namespace": namespace,
    "projectcalico.org/orchestrator": "k8s",
    "projectcalico.org/serviceaccount": account,
  };
}

function inherited(world: World, namespace: string): Labels {
  const labels = { ...namespaceLabels(world, namespace), "projectcalico.org/name": namespace };
  return prefixed("pcns.", labels);
}

function prefixed(prefix: string, labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [prefix + key, value]));
}

function inRange(port: number | undefined, text: string): boolean {
  const [first = 0, last = first] = text.split(":").map(Number);
  return port !== undefined && port >= first && port <= last;
}

/** A-13 */
function isNamed(
  { world, address, port, protocol }: End,
  name: string,
  ruleProtocol: string | number | undefined,
  isChosen: Chooser,
): boolean {
  const pod = podAt(world, address);
  const { containers = [], initContainers = [] } = pod?.spec ?? {};
  const ofPod =
    pod === undefined || !isChosen(podLabels(world, pod))
      ? []
      : [...containers, ...initContainers].flatMap((container) => container.ports ?? []);
  const ofHosts = hostsAt(world, address)
    .filter((host) => isChosen(hostLabels(world, host)))
    .flatMap(({ spec }) => spec.ports ?? [])
    .map((own) => ({ ...own, containerPort: own.port }));
  return [...ofPod, ...ofHosts].some((own) => {
    const number = NUMBERS[(own.protocol ?? "TCP").toLowerCase()];
    const asked = ruleProtocol === undefined || protocolNumber(ruleProtocol) === number;
    return own.name === name && asked && number === protocol && own.containerPort === port;
  });
}

/** A-14 */
function isOfService(
  { world, side, address, port, protocol }: End,
  service: NonNullable<RawEntity["services"]>,
  policyNamespace: string | undefined,
): boolean {
  return (world.endpointSlices ?? [])
    .filter(
      (slice) =>
        namespaceOf(slice) === (service.namespace ?? policyNamespace) &&
        slice.metadata.labels?.["kubernetes.io/service-name"] === service.name,
    )
    .some(({ endpoints, ports }) => {
      const here = endpoints.some(({ addresses }) =>
        addresses.some((one) => sameAddress(one, address)),
      );
      const open = ports.some(
        (one) => one.port === port && NUMBERS[(one.protocol ?? "TCP").toLowerCase()] === protocol,
      );
      return here && (side === "source" || open);
    });
}

// ── Selectors ─────────────────────────────────────────────────────────────────────────────────────────

const TOKEN =
  /[ \t]*(has\([^)]*\)|all\([ \t]*\)|global\([ \t]*\)|==|!=|&&|\|\||[!(){},]|"[^"]*"|'[^']*'|[\w./-]+)/y;

/** L-1 to L-3, word by word. With `pcns.` a selector of namespaces: all() is what is in one. */
function chooses(text: string, labels: Labels, prefix = ""): boolean {
  const words: string[] = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.trimEnd().length;) {
    words.push(TOKEN.exec(text)![1]!);
  }
  let at = 0;
  const label = (name: string): string | undefined => labels[prefix + name];
  const string = (): string => words[at++]!.slice(1, -1);
  const or = (): boolean => {
    let value = and();
    while (words[at] === "||") {
      at++;
      // Both are read whatever the first says.
      value = and() || value;
    }
    return value;
  };
  const and = (): boolean => {
    let value = unary();
    while (words[at] === "&&") {
      at++;
      value = unary() && value;
    }
    return value;
  };
  const unary = (): boolean => {
    const word = words[at++]!;
    if (word === "!") return !unary();
    if (word === "(") {
      const value = or();
      at++;
      return value;
    }
    const inNamespace = labels["projectcalico.org/namespace"] !== undefined;
    const hasAccount = labels["projectcalico.org/serviceaccount"] !== undefined;
    if (word.startsWith("all(")) {
      return { "pcns.": inNamespace, "pcsa.": hasAccount }[prefix] ?? true;
    }
    if (word.startsWith("global(")) return !inNamespace;
    if (word.startsWith("has(")) return label(word.slice(4, -1).trim()) !== undefined;
    return condition(label(word));
  };
  const condition = (value: string | undefined): boolean => {
    const operator = words[at++]!;
    switch (operator) {
      case "==":
        return value === string();
      case "!=":
        return value !== string();
      case "contains":
        return value?.includes(string()) ?? (at++, false);
      case "starts":
      case "startswith":
        if (operator === "starts") at++;
        return value?.startsWith(string()) ?? (at++, false);
      case "ends":
      case "endswith":
        if (operator === "ends") at++;
        return value?.endsWith(string()) ?? (at++, false);
    }
    if (operator === "not") at++;
    const values: string[] = [];
    for (at++; words[at] !== "}";) {
      if (words[at] === ",") at++;
      else values.push(string());
    }
    at++;
    const listed = value !== undefined && values.includes(value);
    return operator === "in" ? listed : !listed;
  };
  return words.length === 0 || or();
}
