/**
 * Random targets, one function for each feature, as iptables-restore reads them: those that end a packet's
 * way through a table, and those that change the packet, its connection or a set and go on.
 */
import { CLIENT_PORTS, HOSTS, OWN, SERVER_PORTS, VIRTUAL } from "./ground.ts";
import { fewBits, type RuleDraft } from "./random-matches.ts";

type Draw = (rule: RuleDraft) => string | undefined;

const reaches = (rule: RuleDraft, ...hooks: readonly string[]): boolean =>
  rule.hooks.every((hook) => hooks.includes(hook));

const hasPorts = ({ protocol }: RuleDraft): boolean =>
  protocol !== undefined && ["tcp", "udp", "sctp"].includes(protocol);

/** An address and, where the protocol has ports, sometimes a port. */
function place(rule: RuleDraft, address: string, port: number): string {
  if (!hasPorts(rule) || rule.random.chance(0.4)) return address;
  return rule.family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

const REJECTS = {
  4: [
    "icmp-port-unreachable",
    "icmp-host-unreachable",
    "icmp-admin-prohibited",
    "icmp-net-prohibited",
  ],
  6: ["icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route", "icmp6-addr-unreachable"],
} as const;

/** Targets that only the nat table has, and what else ends a packet's way. */
const ENDS = {
  accept: () => "-j ACCEPT",
  drop: ({ table }) => (table === "nat" ? undefined : "-j DROP"),
  reject: (rule) => {
    if (rule.table !== "filter") return undefined;
    if (rule.protocol === "tcp" && rule.random.chance(0.5))
      return "-j REJECT --reject-with tcp-reset";
    return `-j REJECT --reject-with ${rule.random.pick(REJECTS[rule.family])}`;
  },
  return: () => "-j RETURN",
  dnat: (rule) => {
    if (rule.table !== "nat" || !reaches(rule, "PREROUTING", "OUTPUT")) return undefined;
    const { random, family } = rule;
    const to = random.chance(0.85) ? random.pick(HOSTS) : random.pick(OWN);
    return `-j DNAT --to-destination ${place(rule, to.address[family], random.pick(SERVER_PORTS))}`;
  },
  redirect: (rule) => {
    if (rule.table !== "nat" || !reaches(rule, "PREROUTING", "OUTPUT")) return undefined;
    const ports = hasPorts(rule) && rule.random.chance(0.7);
    return `-j REDIRECT${ports ? ` --to-ports ${rule.random.pick(SERVER_PORTS)}` : ""}`;
  },
  snat: (rule) => {
    if (rule.table !== "nat" || !reaches(rule, "POSTROUTING", "INPUT")) return undefined;
    const { random, family } = rule;
    const to = random.chance(0.6) ? random.pick(OWN).address : random.pick(VIRTUAL);
    return `-j SNAT --to-source ${place(rule, to[family], random.pick(CLIENT_PORTS))}`;
  },
  masquerade: (rule) =>
    rule.table === "nat" && reaches(rule, "POSTROUTING") ? "-j MASQUERADE" : undefined,
  netmap: (rule) => {
    if (rule.table !== "nat") return undefined;
    return `-j NETMAP --to ${rule.family === 4 ? "10.65.0.0/29" : "fd00:65::/125"}`;
  },
} satisfies Readonly<Record<string, Draw>>;

const CHANGES = {
  none: () => "",
  "mark-target": ({ random }) => {
    const value = fewBits(random);
    return random.pick([
      `-j MARK --set-xmark ${value}/${fewBits(random)}`,
      `-j MARK --set-mark ${value}/${fewBits(random)}`,
      `-j MARK --or-mark ${value}`,
      `-j MARK --and-mark ${value}`,
      `-j MARK --xor-mark ${value}`,
    ]);
  },
  "connmark-target": ({ random }) => {
    const masks = `--nfmask ${fewBits(random)} --ctmask ${fewBits(random)}`;
    return random.pick([
      `-j CONNMARK --set-xmark ${fewBits(random)}/${fewBits(random)}`,
      `-j CONNMARK --save-mark ${masks}`,
      `-j CONNMARK --restore-mark ${masks}`,
      "-j CONNMARK --save-mark",
      "-j CONNMARK --restore-mark",
    ]);
  },
  "set-target": ({ random, sets, family }) => {
    const fitting = sets.filter(
      (set) => set.kind !== "list:set" && (set.family ?? family) === family,
    );
    if (fitting.length === 0) return undefined;
    const set = random.pick(fitting);
    const flags = Array.from({ length: set.dimension }, () => random.pick(["src", "dst"])).join(
      ",",
    );
    if (random.chance(0.3)) return `-j SET --del-set ${set.name} ${flags}`;
    const timeout = set.timeout && random.chance(0.5) ? " --timeout 1800" : "";
    return `-j SET --add-set ${set.name} ${flags}${random.chance(0.6) ? " --exist" : ""}${timeout}`;
  },
  notrack: (rule) =>
    rule.table === "raw" ? rule.random.pick(["-j NOTRACK", "-j CT --notrack"]) : undefined,
  "ttl-target": ({ table, family, random }) => {
    if (table !== "mangle") return undefined;
    const [target, option] = family === 4 ? ["TTL", "ttl"] : ["HL", "hl"];
    const value = random.pick([
      `-set ${random.pick([1, 2, 5, 64])}`,
      "-inc 1",
      "-dec 1",
      "-dec 70",
    ]);
    return `-j ${target} --${option}${value}`;
  },
  "dscp-target": ({ table, random }) =>
    table === "mangle" ? `-j DSCP --set-dscp ${random.pick(["0x00", "0x2e", "0x0a"])}` : undefined,
  "tos-target": ({ table, random }) =>
    table === "mangle"
      ? `-j TOS --set-tos ${random.pick(["0x10/0x3f", "0x00/0xff", "0x02/0x03"])}`
      : undefined,
  "ecn-target": ({ table, protocol, family, random }) =>
    table === "mangle" && protocol === "tcp" && family === 4
      ? `-j ECN ${random.pick(["--ecn-tcp-remove", "--ecn-tcp-ece 1", "--ecn-ip-ect 2"])}`
      : undefined,
  "tcpmss-target": ({ table, protocol, random }) =>
    table === "mangle" && protocol === "tcp"
      ? `-m tcp --tcp-flags SYN SYN -j TCPMSS --set-mss ${random.pick([500, 1000, 1460])}`
      : undefined,
  "tcpoptstrip-target": ({ table, protocol, random }) =>
    table === "mangle" && protocol === "tcp"
      ? `-j TCPOPTSTRIP --strip-options ${random.pick(["2", "3,8", "4,5"])}`
      : undefined,
  log: ({ random }) => `-j NFLOG --nflog-group ${random.below(3)}`,
  checksum: ({ table, protocol }) =>
    table === "mangle" && protocol === "udp" ? "-j CHECKSUM --checksum-fill" : undefined,
} satisfies Readonly<Record<string, Draw>>;

export type TargetFeature = keyof typeof ENDS | keyof typeof CHANGES;

export const TARGET_FEATURES = [
  ...Object.keys(ENDS),
  ...Object.keys(CHANGES),
] as readonly TargetFeature[];

/** How often each ends a packet's way, in tenths of a percent of what they are drawn for. */
const WEIGHTS: Partial<Record<TargetFeature, number>> = {
  accept: 5,
  drop: 5,
  reject: 2,
  return: 4,
  dnat: 6,
  redirect: 2,
  snat: 4,
  masquerade: 3,
  "mark-target": 5,
  "connmark-target": 3,
  "set-target": 2,
  none: 2,
};

/** Draws a target that ends a packet's way through its table. */
export function randomEnd(rule: RuleDraft, allowed: ReadonlySet<string>): string {
  return draw(rule, ENDS, allowed) ?? "-j RETURN";
}

/** Draws a target after which the next rule is tried. */
export function randomChange(rule: RuleDraft, allowed: ReadonlySet<string>): string {
  return draw(rule, CHANGES, allowed) ?? "";
}

function draw(
  rule: RuleDraft,
  draws: Readonly<Record<string, Draw>>,
  allowed: ReadonlySet<string>,
): string | undefined {
  const pool = Object.keys(draws)
    .filter((feature) => allowed.has(feature))
    .flatMap((feature) =>
      Array.from({ length: WEIGHTS[feature as TargetFeature] ?? 1 }, () => feature),
    );
  for (let tries = 0; tries < 20 && pool.length > 0; tries++) {
    const words = draws[rule.random.pick(pool)]?.(rule);
    if (words !== undefined) return words;
  }
  return undefined;
}
