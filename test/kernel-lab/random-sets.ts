/** Random ipsets of every kind that the kernel has here. */
import type { Family } from "../../src/net/address.ts";
import type { Random } from "../random.ts";
import { BLOCKS, CLIENT_PORTS, HOSTS, INTERFACES, SERVER_PORTS, addressesOf } from "./ground.ts";

/** One set as `ipset restore` reads it. */
export interface RandomSet {
  readonly name: string;
  readonly kind: string;
  /** Undefined: sets that hold no addresses, and lists. */
  readonly family: Family | undefined;
  readonly options: string;
  readonly members: readonly string[];
  /** How many direction flags it takes. */
  readonly dimension: number;
  readonly counters: boolean;
  readonly timeout: boolean;
}

/** What one kind of set is made of. */
interface SetKind {
  readonly kind: string;
  readonly dimension: number;
  readonly families: readonly (Family | undefined)[];
  readonly options?: (random: Random, family: Family) => string;
  readonly member: (random: Random, family: Family) => string;
}

const address = (random: Random, family: Family): string => random.pick(addressesOf(family));
const block = (random: Random, family: Family): string =>
  random.chance(0.7) ? random.pick(BLOCKS[family]) : address(random, family);
const port = (random: Random): string => {
  const number = random.pick([...SERVER_PORTS, ...CLIENT_PORTS]);
  return random.pick([`tcp:${number}`, `udp:${number}`, `${number}`, `sctp:${number}`, "253:0"]);
};
const portOrIcmp = (random: Random, family: Family): string => {
  if (!random.chance(0.2)) return port(random);
  return family === 4 ? random.pick(["icmp:8/0", "icmp:3/3"]) : "icmpv6:128/0";
};
const subnet = (random: Random): string => random.pick(["10.65.0.0/24", "10.65.0.0/16"]);
const inside = (random: Random): string => random.pick(["10.65.0.1", "10.65.0.2", "10.65.0.3"]);
const mac = (random: Random): string => random.pick(HOSTS).mac;

const KINDS: readonly SetKind[] = [
  {
    kind: "hash:ip",
    dimension: 1,
    families: [4, 6],
    options: (random, family) => {
      if (!random.chance(0.3)) return "";
      return family === 4
        ? random.pick([" netmask 24", " netmask 31", " bitmask 255.255.0.255"])
        : " netmask 64";
    },
    member: address,
  },
  {
    kind: "hash:net",
    dimension: 1,
    families: [4, 6],
    member: (random, family) => withNomatch(random, block(random, family)),
  },
  {
    kind: "hash:ip,port",
    dimension: 2,
    families: [4, 6],
    member: (random, family) => `${address(random, family)},${portOrIcmp(random, family)}`,
  },
  {
    kind: "hash:ip,port,ip",
    dimension: 3,
    families: [4, 6],
    member: (random, family) =>
      `${address(random, family)},${port(random)},${address(random, family)}`,
  },
  {
    kind: "hash:ip,port,net",
    dimension: 3,
    families: [4, 6],
    member: (random, family) =>
      withNomatch(random, `${address(random, family)},${port(random)},${block(random, family)}`),
  },
  {
    kind: "hash:net,port",
    dimension: 2,
    families: [4, 6],
    member: (random, family) =>
      withNomatch(random, `${block(random, family)},${portOrIcmp(random, family)}`),
  },
  {
    kind: "hash:net,iface",
    dimension: 2,
    families: [4, 6],
    member: (random, family) =>
      withNomatch(random, `${block(random, family)},${random.pick(INTERFACES).name}`),
  },
  {
    kind: "bitmap:ip",
    dimension: 1,
    families: [4],
    options: (random) => ` range ${subnet(random)}`,
    member: inside,
  },
  {
    kind: "bitmap:ip,mac",
    dimension: 2,
    families: [4],
    options: (random) => ` range ${subnet(random)}`,
    member: (random) => (random.chance(0.7) ? `${inside(random)},${mac(random)}` : inside(random)),
  },
  {
    kind: "bitmap:port",
    dimension: 1,
    families: [undefined],
    options: () => " range 0-65535",
    member: (random) => `${random.pick([...SERVER_PORTS, ...CLIENT_PORTS])}`,
  },
];

function withNomatch(random: Random, member: string): string {
  return random.chance(0.2) ? `${member} nomatch` : member;
}

/** Draws sets of both families, and lists of them. */
export function randomSets(random: Random, count: number): RandomSet[] {
  const sets = Array.from({ length: count }, (_, index) => randomSet(random, `s${index}`));
  const lists = random.below(3);
  for (let index = 0; index < lists && sets.length > 0; index++) {
    const members = random.some(sets.slice(0, count), 1, 3);
    sets.push({
      name: `list${index}`,
      kind: "list:set",
      family: undefined,
      options: "",
      members: members.map(({ name }) => name),
      dimension: Math.max(...members.map(({ dimension }) => dimension)),
      counters: false,
      timeout: false,
    });
  }
  return sets;
}

function randomSet(random: Random, name: string): RandomSet {
  const kind = random.pick(KINDS);
  const family = random.pick(kind.families);
  const counters = random.chance(0.2);
  const timeout = random.chance(0.2);
  const members = new Map<string, string>();
  for (let count = 1 + random.below(8); count > 0; count--) {
    const member = kind.member(random, family ?? 4);
    const [key = "", ...rest] = member.split(" ");
    const extra = timeout && random.chance(0.5) ? ` timeout ${600 + random.below(3000)}` : "";
    members.set(key, `${key}${extra}${rest.map((word) => ` ${word}`).join("")}`);
  }
  const options = [
    family === undefined || kind.kind.startsWith("bitmap")
      ? ""
      : ` family ${family === 4 ? "inet" : "inet6"}`,
    kind.options?.(random, family ?? 4) ?? "",
    counters ? " counters" : "",
    timeout ? " timeout 3600" : "",
    random.chance(0.1) ? " comment" : "",
  ];
  return {
    name,
    kind: kind.kind,
    family,
    options: options.join(""),
    members: [...members.values()],
    dimension: kind.dimension,
    counters,
    timeout,
  };
}

/** What `ipset restore` reads. */
export function setsText(sets: readonly RandomSet[]): string {
  const lines = sets.flatMap(({ name, kind, options, members }) => [
    `create ${name} ${kind}${options}`,
    // Two spellings of one member are one.
    ...members.map((member) => `add ${name} ${member} -exist`),
  ]);
  return lines.map((line) => `${line}\n`).join("");
}
