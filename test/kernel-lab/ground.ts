/**
 * The ground on which random rules and random packets meet: one node with its interfaces and routes, the
 * hosts behind them, and small pools of addresses, ports and words, so that rules often hit.
 */
import type { LabInterface } from "../../src/lab/lab.ts";
import type { Family } from "../../src/net/address.ts";

/** Somebody behind one of the node's interfaces, or the node itself. */
export interface Host {
  /** Undefined: the node itself. */
  readonly place: string | undefined;
  readonly mac: string;
  readonly address: Readonly<Record<Family, string>>;
}

export const INTERFACES: readonly LabInterface[] = [
  {
    name: "eth0",
    mac: "02:00:00:00:01:00",
    addresses: ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"],
  },
  {
    name: "eth1",
    mac: "02:00:00:00:01:01",
    addresses: ["198.51.100.10/24", "2001:db8:1::10/64"],
    group: 1,
  },
  { name: "cali1", mac: "02:00:00:00:01:02", addresses: [], group: 3 },
  { name: "cali12", mac: "02:00:00:00:01:03", addresses: [] },
  { name: "cali2", mac: "02:00:00:00:01:04", addresses: [] },
  { name: "tap0", mac: "02:00:00:00:01:05", addresses: ["10.65.9.1/24", "fd00:65:9::1/64"] },
];

/** What follows `ip route add`. */
export const ROUTES: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "default via 192.0.2.1 dev eth0",
    "10.65.0.1 dev cali1 realm 1",
    "10.65.0.2 dev cali12 realm 2",
    "10.65.0.3 dev cali2",
    "10.66.0.0/16 via 192.0.2.66 dev eth0 realm 3/1",
    "10.67.0.0/16 via 198.51.100.67 dev eth1",
  ],
  6: [
    "default via fe80::1 dev eth0 onlink",
    "fd00:65::1 dev cali1",
    "fd00:65::2 dev cali12",
    "fd00:65::3 dev cali2",
    "fd00:66::/64 via 2001:db8::66 dev eth0",
    "fd00:67::/64 via 2001:db8:1::67 dev eth1",
  ],
};

function host(place: string | undefined, number: number, four: string, six: string): Host {
  const mac = `02:00:00:00:02:${number.toString(16).padStart(2, "0")}`;
  return { place, mac, address: { 4: four, 6: six } };
}

/** Pods of this node, of others, and hosts near and far. */
export const HOSTS: readonly Host[] = [
  host("cali1", 1, "10.65.0.1", "fd00:65::1"),
  host("cali12", 2, "10.65.0.2", "fd00:65::2"),
  host("cali2", 3, "10.65.0.3", "fd00:65::3"),
  host("tap0", 4, "10.65.9.7", "fd00:65:9::7"),
  host("eth0", 5, "192.0.2.20", "2001:db8::20"),
  host("eth0", 6, "10.66.0.5", "fd00:66::5"),
  host("eth0", 6, "203.0.113.5", "2001:db8:ffff::5"),
  host("eth1", 7, "10.67.0.7", "fd00:67::7"),
  host("eth1", 8, "198.51.100.20", "2001:db8:1::20"),
];

/** The node's own addresses as ends of flows. */
export const OWN: readonly Host[] = [
  host(undefined, 0, "192.0.2.10", "2001:db8::10"),
  host(undefined, 0, "192.0.2.11", "2001:db8::10"),
  host(undefined, 0, "198.51.100.10", "2001:db8:1::10"),
  host(undefined, 0, "10.65.9.1", "fd00:65:9::1"),
];

/** Addresses that nobody has: only a translation makes something of them. */
export const VIRTUAL: readonly Readonly<Record<Family, string>>[] = [
  { 4: "10.96.0.10", 6: "fd00:96::10" },
  { 4: "10.96.0.11", 6: "fd00:96::11" },
  { 4: "203.0.113.200", 6: "2001:db8:ffff::200" },
];

/** Blocks that cut the pools in various ways. */
export const BLOCKS: Readonly<Record<Family, readonly string[]>> = {
  4: [
    "10.65.0.0/16",
    "10.65.0.0/30",
    "10.65.0.2/31",
    "10.64.0.0/10",
    "10.96.0.0/12",
    "192.0.2.0/24",
    "192.0.2.8/29",
    "203.0.113.0/24",
    "198.51.100.0/25",
    "0.0.0.0/1",
    "128.0.0.0/1",
  ],
  6: [
    "fd00:65::/32",
    "fd00:65::/126",
    "fd00:65::2/127",
    "fd00::/8",
    "fd00:96::/108",
    "2001:db8::/32",
    "2001:db8::8/125",
    "2001:db8:ffff::/48",
    "2001:db8:1::/64",
    "::/1",
    "8000::/1",
  ],
};

export const SERVER_PORTS: readonly number[] = [53, 80, 443, 8080, 8443, 30080];
export const CLIENT_PORTS: readonly number[] = Array.from({ length: 24 }, (_, at) => 40_000 + at);
export const WORDS: readonly string[] = ["GET /", "needle", "HAYSTACK", "ab", "aab"];
/** Protocols that no header is written for; 47 is GRE, 50 ESP, 33 DCCP, 136 UDP-Lite. */
export const PLAIN_PROTOCOLS: readonly number[] = [253, 254, 47, 50, 33, 136];

/** Every address of a family that rules may name. */
export function addressesOf(family: Family): string[] {
  return [
    ...HOSTS.map(({ address }) => address[family]),
    ...OWN.map(({ address }) => address[family]),
    ...VIRTUAL.map((address) => address[family]),
  ];
}

/** The MAC of one of the node's interfaces. */
export function macOf(name: string): string {
  return INTERFACES.find((each) => each.name === name)?.mac ?? "";
}
