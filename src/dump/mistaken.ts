/** Files that were given as another one of a node's files: what they are, by how they begin. */
import type { OnDiagnostic } from "../errors.ts";
import type { NodeText, NodeTexts } from "./node-text.ts";

type Part = Exclude<keyof NodeTexts, "backend">;

const KINDS: readonly {
  readonly sign: RegExp;
  readonly parts: readonly Part[];
  readonly what: string;
}[] = [
  {
    sign: /^\*(raw|mangle|nat|filter|security)\s*$/m,
    parts: ["iptables", "ip6tables"],
    what: "what iptables-save prints: give it with --iptables or --ip6tables",
  },
  {
    sign: /^create \S+ \S+/m,
    parts: ["ipset"],
    what: "what ipset save prints: give it with --ipset",
  },
  {
    sign: /^Name: .*\nType: /m,
    parts: ["ipset"],
    what: "what ipset list prints: give it with --ipset",
  },
  { sign: /^<ipsets>/m, parts: [], what: "the XML of ipset: give the output of ipset save" },
  {
    sign: /^\s*\[\s*(\{\s*\}\s*,\s*)*\{[^{}[\]]*"ifname"\s*:/,
    parts: ["addresses"],
    what: "what ip -j addr prints: give it with --addresses",
  },
  {
    sign: /^\s*\[\s*(\{\s*\}\s*,\s*)*\{[^{}[\]]*"dst"\s*:/,
    parts: ["routes"],
    what: "what ip -j route prints: give it with --routes",
  },
  {
    sign: /^(default|unreachable|[0-9a-f.:]+(\/\d+)?) (via|dev|proto|scope) /m,
    parts: [],
    what: "what ip route prints: give the output of ip -j route show table all",
  },
  {
    sign: /^\d+: \S+: <[A-Z]/m,
    parts: [],
    what: "what ip addr prints: give the output of ip -j addr",
  },
  {
    sign: /^(ipv[46] +\d+ +)?\w+ +\d+ \d+ .*\bsrc=/m,
    parts: ["conntrack"],
    what: "what conntrack -L prints: give it with --conntrack",
  },
  {
    sign: /^net[./]\S+ = /m,
    parts: ["sysctl"],
    what: "what sysctl -a prints: give it with --sysctl",
  },
  {
    sign: /^table (ip|ip6|inet|arp|bridge|netdev) \S+ \{/m,
    parts: [],
    what: "what nft list ruleset prints, which is not read: give the output of iptables-save",
  },
  { sign: /^apiVersion: /m, parts: [], what: "a manifest: give it with -f" },
  { sign: /\0/, parts: [], what: "a binary file" },
];

/** How much of a file is looked at. */
const HEAD = 4096;

/** The texts without those that are something else, each of which is one error. */
export function refuseMistaken(texts: NodeTexts, onDiagnostic: OnDiagnostic): NodeTexts {
  const keep = (part: Part): readonly NodeText[] =>
    (texts[part] ?? []).filter(({ file, text }) => {
      const head = text.slice(0, HEAD);
      const kind = KINDS.find(({ sign }) => sign.test(head));
      if (kind === undefined || kind.parts.includes(part)) return true;
      const place = { file, line: 1, column: 1 };
      const message = `not what ${EXPECTED[part]} prints, but ${kind.what}`;
      onDiagnostic({ severity: "error", code: "BAD_DUMP", message, place });
      return false;
    });
  return {
    iptables: keep("iptables"),
    ip6tables: keep("ip6tables"),
    ipset: keep("ipset"),
    addresses: keep("addresses"),
    routes: keep("routes"),
    conntrack: keep("conntrack"),
    sysctl: keep("sysctl"),
    backend: texts.backend,
  };
}

const EXPECTED: Readonly<Record<Part, string>> = {
  iptables: "iptables-save",
  ip6tables: "ip6tables-save",
  ipset: "ipset save",
  addresses: "ip -j addr",
  routes: "ip -j route",
  conntrack: "conntrack -L",
  sysctl: "sysctl -a",
};
