/**
 * Random matches, one function for each feature, as iptables-restore reads them. Each feature can be left
 * out by name. Values come from the ground's pools, so that most matches hold for some packets.
 */
import type { Backend } from "../../src/match/extension.ts";
import type { Family } from "../../src/net/address.ts";
import type { Hook, TableName } from "../../src/tables/model.ts";
import type { Random } from "../random.ts";
import {
  BLOCKS,
  CLIENT_PORTS,
  HOSTS,
  INTERFACES,
  SERVER_PORTS,
  WORDS,
  addressesOf,
} from "./ground.ts";
import type { RandomSet } from "./random-sets.ts";

/** The rule that a match is drawn for. */
export interface RuleDraft {
  readonly random: Random;
  readonly family: Family;
  readonly backend: Backend;
  readonly table: TableName;
  /** From which the rule's chain can be reached. */
  readonly hooks: readonly Hook[];
  /** The chain is a hook's own. */
  readonly builtIn: boolean;
  /** What `-p` says, when it says it without `!`. */
  readonly protocol: string | undefined;
  readonly sets: readonly RandomSet[];
}

type Draw = (rule: RuleDraft) => string | undefined;

/** `! ` now and then. */
export function maybeNot(random: Random, probability = 0.2): string {
  return random.chance(probability) ? "! " : "";
}

/** A mark or its mask: few bits, so that they meet. */
export function fewBits(random: Random): string {
  return `0x${random.pick([1, 2, 3, 4, 8, 0xf, 0x10, 0xff, 0x8000]).toString(16)}`;
}

const only = (rule: RuleDraft, hooks: readonly Hook[]): boolean =>
  rule.hooks.every((hook) => hooks.includes(hook));

function ports(random: Random): string {
  const some = [...SERVER_PORTS, ...CLIENT_PORTS];
  switch (random.below(5)) {
    case 0:
      return "40000:40011";
    case 1:
      return "1:1023";
    case 2:
      return "8080:65535";
    default:
      return `${random.pick(some)}`;
  }
}

function range(random: Random, family: Family): string {
  const prefix =
    family === 4
      ? ["10.65.0.", "192.0.2.", "198.51.100.", "203.0.113."]
      : ["fd00:65::", "2001:db8::", "fd00:96::"];
  const from = random.below(20);
  const base = random.pick(prefix);
  const digit = (value: number): string => (family === 4 ? `${value}` : value.toString(16));
  return `${base}${digit(from)}-${base}${digit(from + random.below(200))}`;
}

function addressOrBlock(random: Random, family: Family): string {
  return random.chance(0.6) ? random.pick(addressesOf(family)) : random.pick(BLOCKS[family]);
}

/** Several of these options, each negated now and then. */
function options(
  random: Random,
  draws: Readonly<Record<string, () => string>>,
  most: number,
): string {
  const chosen = random.some(Object.keys(draws), 1, most);
  return chosen.map((name) => `${maybeNot(random)}${name} ${draws[name]?.() ?? ""}`).join(" ");
}

const STATES = ["INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED"];
const FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
const OUT_HOOKS: readonly Hook[] = ["FORWARD", "OUTPUT", "POSTROUTING"];
const IN_HOOKS: readonly Hook[] = ["PREROUTING", "INPUT", "FORWARD"];

/** Classic BPF from the IP header on: what it asks, by family. */
const PROGRAMS: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0",
    "4,40 0 0 2,37 0 1 60,6 0 0 1,6 0 0 0",
    "5,177 0 0 0,72 0 0 2,37 0 1 8000,6 0 0 1,6 0 0 0",
    "5,32 0 0 12,84 0 0 1,21 0 1 1,6 0 0 1,6 0 0 0",
  ],
  6: [
    "4,48 0 0 6,21 0 1 6,6 0 0 1,6 0 0 0",
    "4,40 0 0 4,37 0 1 30,6 0 0 1,6 0 0 0",
    "5,48 0 0 23,84 0 0 1,21 0 1 1,6 0 0 1,6 0 0 0",
    "4,128 0 0 0,37 0 1 70,6 0 0 1,6 0 0 0",
  ],
};

const U32: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "6&0xFF=6",
    "6&0xFF=17,1",
    "4&0x3FFF=0",
    "0>>22&0x3C@0>>16=40000:40011",
    "0>>22&0x3C@0&0xFFFF=80,443,8080",
    "12&0xFF=1:3 && 16&0xFF=2:7",
    "0&0xFFFF=0:64",
    "0>>22&0x3C@12>>26&0x3C@0=0x47455420",
  ],
  6: [
    "4>>8&0xFF=6",
    "40>>16=40000:40011",
    "40&0xFFFF=80,443,8080",
    "20&0xFF=1:3 && 36&0xFF=2:7",
    "4>>16=0:24",
    "40@0=0",
  ],
};

const DRAWS = {
  tcp: ({ random, protocol }) => {
    if (protocol !== "tcp") return undefined;
    const compared = random.some(FLAGS, 1, 4);
    const draws: Record<string, () => string> = {
      "--sport": () => ports(random),
      "--dport": () => ports(random),
      "--tcp-flags": () =>
        random.chance(0.5)
          ? `FIN,SYN,RST,ACK ${random.pick(["SYN", "SYN,ACK", "ACK", "RST", "FIN,ACK"])}`
          : `${compared.join(",")} ${random.chance(0.2) ? "NONE" : random.some(compared, 1, 4).join(",")}`,
      "--tcp-option": () => `${random.pick([2, 3, 4, 8, 5, 30])}`,
    };
    if (random.chance(0.15)) return `-m tcp ${maybeNot(random)}--syn`;
    return `-m tcp ${options(random, draws, 2)}`;
  },
  udp: ({ random, protocol }) =>
    protocol === "udp"
      ? `-m udp ${options(random, { "--sport": () => ports(random), "--dport": () => ports(random) }, 2)}`
      : undefined,
  sctp: ({ random, protocol }) => {
    if (protocol !== "sctp") return undefined;
    const chunks = ["DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "ABORT", "SHUTDOWN"];
    return `-m sctp ${options(
      random,
      {
        "--sport": () => ports(random),
        "--dport": () => ports(random),
        "--chunk-types": () =>
          `${random.pick(["any", "all", "only"])} ${random.some(chunks, 1, 3).join(",")}`,
      },
      2,
    )}`;
  },
  icmp: ({ random, protocol, family }) => {
    if (family === 4) {
      if (protocol !== "icmp") return undefined;
      const types = ["8", "0", "3", "3/3", "3/1", "11", "5", "any", "13", "12"];
      return `-m icmp ${maybeNot(random)}--icmp-type ${random.pick(types)}`;
    }
    if (protocol !== "ipv6-icmp") return undefined;
    const types = ["128", "129", "1", "1/4", "2", "3", "4", "135"];
    return `-m icmp6 ${maybeNot(random)}--icmpv6-type ${random.pick(types)}`;
  },
  esp: ({ random, protocol }) =>
    protocol === "esp"
      ? `-m esp ${maybeNot(random)}--espspi ${random.pick(["1", "0:255", "256:", "7"])}`
      : undefined,
  multiport: ({ random, protocol }) => {
    if (protocol === undefined || !["tcp", "udp", "sctp"].includes(protocol)) return undefined;
    const list = Array.from({ length: 1 + random.below(4) }, () => ports(random));
    const option = random.pick(["--sports", "--dports", "--ports"]);
    return `-m multiport ${maybeNot(random)}${option} ${list.join(",")}`;
  },
  iprange: ({ random, family }) =>
    `-m iprange ${options(random, { "--src-range": () => range(random, family), "--dst-range": () => range(random, family) }, 2)}`,
  ctstate: ({ random }) =>
    `-m conntrack ${maybeNot(random)}--ctstate ${random.some([...STATES, "SNAT", "DNAT"], 1, 3).join(",")}`,
  conntrack: ({ random, family }) => {
    const address = (): string => addressOrBlock(random, family);
    const port = (): string => ports(random);
    const draws: Record<string, () => string> = {
      "--ctstate": () => random.some(STATES, 1, 3).join(","),
      "--ctproto": () => random.pick(["tcp", "udp", "1", "132", "253"]),
      "--ctorigsrc": address,
      "--ctorigdst": address,
      "--ctreplsrc": address,
      "--ctrepldst": address,
      "--ctorigsrcport": port,
      "--ctorigdstport": port,
      "--ctreplsrcport": port,
      "--ctrepldstport": port,
      "--ctstatus": () =>
        random.some(["NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"], 1, 2).join(","),
    };
    const direction = random.chance(0.2) ? ` --ctdir ${random.pick(["ORIGINAL", "REPLY"])}` : "";
    return `-m conntrack ${options(random, draws, 2)}${direction}`;
  },
  // Far from any moment at which an entry's time might just run out.
  ctexpire: ({ random }) =>
    `-m conntrack ${maybeNot(random)}--ctexpire ${random.pick(["1000:500000", "80:400", "0:100000"])}`,
  state: ({ random }) =>
    `-m state ${maybeNot(random)}--state ${random.some(STATES, 1, 3).join(",")}`,
  mark: ({ random }) => `-m mark ${maybeNot(random)}--mark ${fewBits(random)}/${fewBits(random)}`,
  connmark: ({ random }) =>
    `-m connmark ${maybeNot(random)}--mark ${fewBits(random)}/${fewBits(random)}`,
  addrtype: ({ random, family, hooks }) => {
    const types =
      family === 4
        ? ["LOCAL", "UNICAST", "BROADCAST", "MULTICAST"]
        : ["LOCAL", "UNICAST", "MULTICAST"];
    const words = `-m addrtype ${options(
      random,
      {
        "--src-type": () => random.some(types, 1, 2).join(","),
        "--dst-type": () => random.some(types, 1, 2).join(","),
      },
      2,
    )}`;
    if (!random.chance(0.2)) return words;
    if (hooks.every((hook) => IN_HOOKS.includes(hook))) return `${words} --limit-iface-in`;
    return hooks.every((hook) => OUT_HOOKS.includes(hook)) ? `${words} --limit-iface-out` : words;
  },
  mac: (rule) =>
    only(rule, IN_HOOKS)
      ? `-m mac ${maybeNot(rule.random)}--mac-source ${rule.random.pick(HOSTS).mac}`
      : undefined,
  pkttype: ({ random }) =>
    `-m pkttype ${maybeNot(random)}--pkt-type ${random.pick(["unicast", "unicast", "broadcast", "multicast"])}`,
  length: ({ random }) =>
    `-m length ${maybeNot(random)}--length ${random.pick(["0:60", "40", "60:100", "100:", "48:64"])}`,
  ttl: ({ random, family }) => {
    const name = family === 4 ? "ttl" : "hl";
    const value = random.pick([1, 2, 5, 62, 63, 64, 65, 128, 254]);
    const option = random.pick(["eq", "lt", "gt"]);
    const not = option === "eq" ? maybeNot(random) : "";
    return `-m ${name} ${not}--${name}-${option} ${value}`;
  },
  dscp: ({ random }) =>
    random.chance(0.5)
      ? `-m dscp ${maybeNot(random)}--dscp ${random.pick(["0x00", "0x2e", "0x0a"])}`
      : `-m dscp ${maybeNot(random)}--dscp-class ${random.pick(["BE", "EF", "AF11"])}`,
  tos: ({ random }) =>
    `-m tos ${maybeNot(random)}--tos ${random.pick(["0x00", "0x10", "0x00/0x03", "0x10/0x3f", "0xb8/0xfc", "0x02/0x03"])}`,
  ecn: ({ random, protocol }) => {
    const ip = (): string => `${maybeNot(random)}--ecn-ip-ect ${random.below(4)}`;
    if (protocol !== "tcp" || random.chance(0.4)) return `-m ecn ${ip()}`;
    const tcp = random.pick(["--ecn-tcp-cwr", "--ecn-tcp-ece"]);
    return `-m ecn ${maybeNot(random)}${tcp}${random.chance(0.3) ? ` ${ip()}` : ""}`;
  },
  tcpmss: ({ random, protocol }) =>
    protocol === "tcp"
      ? `-m tcpmss ${maybeNot(random)}--mss ${random.pick(["1460", "500:1400", "0:65535"])}`
      : undefined,
  u32: ({ random, family }) => `-m u32 ${maybeNot(random)}--u32 "${random.pick(U32[family])}"`,
  string: ({ random }) => {
    const algorithm = random.pick(["bm", "kmp"]);
    const from = random.chance(0.4) ? ` --from ${random.pick([0, 20, 40, 52, 60])}` : "";
    const to = random.chance(0.4) ? ` --to ${random.pick([60, 80, 100, 1500])}` : "";
    const what = random.chance(0.3)
      ? `${maybeNot(random)}--hex-string "|474554|"`
      : `${maybeNot(random)}--string "${random.pick(WORDS)}"`;
    const icase = random.chance(0.3) ? " --icase" : "";
    return `-m string ${what} --algo ${algorithm}${from}${to}${icase}`;
  },
  bpf: ({ random, family }) => `-m bpf --bytecode "${random.pick(PROGRAMS[family])}"`,
  nth: ({ random }) => {
    const every = 2 + random.below(5);
    return `-m statistic --mode nth ${maybeNot(random)}--every ${every} --packet ${random.below(every)}`;
  },
  // So slow a refill that it never happens in a test; the burst is all there is.
  limit: ({ random }) => `-m limit --limit 1/hour --limit-burst ${1 + random.below(30)}`,
  hashlimit: ({ random, protocol }) => {
    const modes = ["srcip", "dstip"];
    if (["tcp", "udp", "sctp"].includes(protocol ?? "")) modes.push("srcport", "dstport");
    const option = random.pick(["upto", "above"]);
    // Tables are shared by name: one name, one shape.
    const name = `h${random.below(1_000_000)}`;
    return (
      `-m hashlimit --hashlimit-${option} 1/hour --hashlimit-burst ${1 + random.below(9)} ` +
      `--hashlimit-mode ${random.some(modes, 1, 2).join(",")} --hashlimit-name ${name} --hashlimit-htable-expire 3600000`
    );
  },
  recent: ({ random, family }) => {
    // With what mask a list was made that both families share, no dump shows.
    const name = `--name r${random.below(3)}-${family}`;
    const side = random.pick(["--rsource", "--rdest"]);
    const action = random.pick(["--set", "--set", "--rcheck", "--update", "--remove"]);
    const times = action === "--rcheck" || action === "--update";
    const hits = times && random.chance(0.5) ? ` --hitcount ${1 + random.below(8)}` : "";
    const seconds = times && random.chance(0.5) ? " --seconds 3600" : "";
    const ttl = times && random.chance(0.15) ? " --rttl" : "";
    return `-m recent ${maybeNot(random)}${action}${seconds}${hits}${ttl} ${name} ${side}`;
  },
  connlimit: ({ random, family }) =>
    `-m connlimit --connlimit-${random.pick(["above", "upto"])} ${1 + random.below(4)} ` +
    `--connlimit-mask ${random.pick(family === 4 ? [32, 24, 0] : [128, 64, 0])} ${random.pick(["--connlimit-saddr", "--connlimit-daddr"])}`,
  connbytes: ({ random }) =>
    `-m connbytes ${maybeNot(random)}--connbytes ${random.pick(["0:10", "1:", "0"])} --connbytes-mode packets --connbytes-dir both`,
  quota: ({ random }) => `-m quota ${maybeNot(random)}--quota ${500 + random.below(20_000)}`,
  rpfilter: (rule) => {
    if (!only(rule, ["PREROUTING"]) || !["raw", "mangle"].includes(rule.table)) return undefined;
    const words = ["--loose", "--accept-local", "--validmark", "--invert"];
    return `-m rpfilter ${rule.random.some(words, 0, 2).join(" ")}`;
  },
  realm: (rule) => {
    if (rule.family !== 4 || !only(rule, ["INPUT", ...OUT_HOOKS])) return undefined;
    const realms = ["0", "0x1", "0x1/0xffff", "0x10002", "0x30001", "0x20000/0xffff0000"];
    return `-m realm ${maybeNot(rule.random)}--realm ${rule.random.pick(realms)}`;
  },
  devgroup: (rule) => {
    const { random } = rule;
    const groups = ["0", "0x1", "0x3", "0x1/0x1", "0x2/0x2"];
    const draws: Record<string, () => string> = {};
    if (only(rule, IN_HOOKS)) draws["--src-group"] = () => random.pick(groups);
    if (only(rule, OUT_HOOKS)) draws["--dst-group"] = () => random.pick(groups);
    return Object.keys(draws).length === 0 ? undefined : `-m devgroup ${options(random, draws, 2)}`;
  },
  policy: (rule) => {
    const policy = rule.random.pick(["none", "ipsec", "ipsec --proto esp"]);
    if (only(rule, IN_HOOKS)) return `-m policy --dir in --pol ${policy}`;
    return only(rule, OUT_HOOKS) ? `-m policy --dir out --pol ${policy}` : undefined;
  },
  physdev: (rule) =>
    only(rule, ["FORWARD", "INPUT", "PREROUTING"])
      ? `-m physdev ${maybeNot(rule.random, 0.5)}${rule.random.pick([`--physdev-in ${rule.random.pick(INTERFACES).name}`, "--physdev-is-in", "--physdev-is-bridged"])}`
      : undefined,
  owner: (rule) => {
    if (!only(rule, ["OUTPUT", "POSTROUTING"])) return undefined;
    const { random } = rule;
    const draws = {
      "--uid-owner": () => "0-99",
      "--gid-owner": () => "0",
      "--socket-exists": () => "",
    };
    return `-m owner ${options(random, draws, 2)}`;
  },
  ah: ({ random, family }) =>
    family === 6
      ? `-m ah ${random.pick(["! --ahspi 1", "--ahspi 0:4", "! --ahlen 24", "--ahres"])}`
      : undefined,
  helper: ({ random }) => `-m helper ${maybeNot(random)}--helper ${random.pick(["ftp", "sip"])}`,
  time: ({ random }) =>
    `-m time ${random.pick(["--datestart 2020-01-01T00:00:00", "--datestop 2020-01-01T00:00:00"])}`,
  comment: ({ random }) =>
    `-m comment --comment "${random.pick(['say \\"no\\"', "a b", "-j DROP # no"])}"`,
  set: ({ random, family, sets }) => {
    if (sets.length === 0) return undefined;
    const set = random.pick(sets);
    // The tools refuse a set of the other family.
    if (set.family !== undefined && set.family !== family) return undefined;
    const flags = Array.from(
      { length: random.chance(0.9) ? set.dimension : 1 + random.below(3) },
      () => random.pick(["src", "dst"]),
    );
    const extra = random.chance(0.1) ? " --return-nomatch" : "";
    const counters =
      set.counters && random.chance(0.4)
        ? random.pick([" ! --update-counters", " --packets-gt 2", " --packets-lt 9"])
        : "";
    return `-m set ${maybeNot(random)}--match-set ${set.name} ${flags.join(",")}${extra}${counters}`;
  },
  ipv6header: ({ random, family }) =>
    family === 6
      ? `-m ipv6header ${maybeNot(random)}--header ${random.some(["hop", "dst", "route", "frag", "esp", "none", "prot"], 1, 2).join(",")}${random.chance(0.7) ? " --soft" : ""}`
      : undefined,
  hbh: ({ random, family }) =>
    family === 6
      ? `-m hbh ${random.pick([`${maybeNot(random)}--hbh-len ${random.pick([8, 16])}`, "--hbh-opts 1", "--hbh-opts 1:3,0"])}`
      : undefined,
  dstopt: ({ random, family }) =>
    family === 6 ? `-m dst ${maybeNot(random)}--dst-len ${random.pick([8, 16])}` : undefined,
  frag: ({ random, family }) =>
    family === 6
      ? `-m frag ${random.pick(["--fragid 0:1000000000", "--fragfirst", "--fragmore", "--fraglast"])}`
      : undefined,
  rt: ({ random, family }) =>
    family === 6
      ? `-m rt ${random.pick([`${maybeNot(random)}--rt-type ${random.pick([0, 2])}`, "--rt-segsleft 0", "! --rt-len 8"])}`
      : undefined,
  srh: ({ random, family }) =>
    family === 6 ? `-m srh ${maybeNot(random)}--srh-segs-left-eq 0` : undefined,
  eui64: (rule) =>
    rule.family === 6 && only(rule, ["PREROUTING", "INPUT", "FORWARD"]) ? "-m eui64" : undefined,
  "ip-fragment": ({ random, family }) => (family === 4 ? `${maybeNot(random, 0.5)}-f` : undefined),
} satisfies Readonly<Record<string, Draw>>;

export type MatchFeature = keyof typeof DRAWS;

/** Heavier ones are drawn more often; 1 when absent. */
const WEIGHTS: Partial<Record<MatchFeature, number>> = {
  tcp: 12,
  udp: 12,
  sctp: 10,
  icmp: 12,
  multiport: 6,
  ctstate: 8,
  conntrack: 4,
  mark: 5,
  connmark: 3,
  set: 8,
  addrtype: 2,
  iprange: 2,
};

export const MATCH_FEATURES = Object.keys(DRAWS) as readonly MatchFeature[];

/** Draws up to `most` matches of different features, of those allowed. */
export function randomMatches(
  rule: RuleDraft,
  most: number,
  allowed: ReadonlySet<string>,
): string[] {
  const features = MATCH_FEATURES.filter((feature) => allowed.has(feature));
  const pool = features.flatMap((feature) =>
    Array.from({ length: WEIGHTS[feature] ?? 1 }, () => feature),
  );
  const words = new Map<string, string>();
  for (let tries = 0; tries < most * 3 && words.size < most && pool.length > 0; tries++) {
    const feature = rule.random.pick(pool);
    // The same module twice in one rule is refused, or means one.
    const module = ["ctstate", "ctexpire"].includes(feature) ? "conntrack" : feature;
    if (words.has(module)) continue;
    const word = DRAWS[feature](rule);
    if (word !== undefined) words.set(module, word);
  }
  return [...words.values()];
}
