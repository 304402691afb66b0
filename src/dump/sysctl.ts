/**
 * The kernel's switches of a node: what `sysctl -a` prints, or single ones as `KEY=VALUE`. Of its keys
 * those are read that change verdicts; the others of a file are left aside.
 * Source: Linux, Documentation/networking/nf_conntrack-sysctl.rst and ip-sysctl.rst.
 */
import { distance } from "fastest-levenshtein";
import type { OnDiagnostic } from "../errors.ts";
import { TIMEOUT_NAMES } from "../tables/switches.ts";
import type { InterfaceSwitches, NodeSwitches } from "../tables/switches.ts";

/** One file, or one key with its value. */
export interface SysctlText {
  readonly file: string;
  readonly text: string;
  /** The user named it: a key that is not modelled is an error. */
  readonly named?: boolean;
}

/** Parses all that was told; of a key that is told twice the later value counts. */
export function parseSysctls(
  texts: readonly SysctlText[],
  onDiagnostic: OnDiagnostic,
): NodeSwitches {
  const values = new Map<string, number>();
  for (const each of texts) readText(each, values, onDiagnostic);
  warnOf(values, onDiagnostic);
  return buildSwitches(values);
}

/** The same as paths under /proc/sys/net, in the order in which they can be written. */
export function sysctlPaths(texts: readonly SysctlText[]): Record<string, number> {
  const values = new Map<string, number>();
  for (const each of texts) readText(each, values, () => undefined);
  const rank = (key: string): number => {
    // > What is written for all is written to each.
    if (key === "net.ipv4.ip_forward") return 0;
    const conf = confKeyOf(key);
    if (conf === undefined) return 3;
    return conf.interface === "all" ? 1 : 2;
  };
  const paths = [...values]
    .filter(
      ([key]) => !IDLE.includes(key) && key !== CHECKSUM && confKeyOf(key)?.interface !== "default",
    )
    .sort(([one], [other]) => rank(one) - rank(other))
    .map(([key, value]): [string, number] => {
      const conf = confKeyOf(key);
      if (conf === undefined) return [key.split(".").slice(1).join("/"), value];
      return [`ipv${conf.family}/conf/${conf.interface}/${conf.name}`, value];
    });
  return Object.fromEntries(paths);
}

const CT = "net.netfilter.nf_conntrack_";

/** Captures hold checksums that were not yet filled in (CT-6). */
const CHECKSUM = `${CT}checksum`;

const SWITCHES: readonly string[] = [
  `${CT}tcp_be_liberal`,
  `${CT}tcp_loose`,
  `${CT}tcp_ignore_invalid_rst`,
  `${CT}tcp_max_retrans`,
  "net.ipv4.ip_forward",
  ...["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"],
  ...TIMEOUT_NAMES.map((name) => CT + name),
];

/** What changes no verdict here. */
const IDLE: readonly string[] = [`${CT}acct`, `${CT}max`];

const OF_INTERFACES: Readonly<Record<4 | 6, readonly string[]>> = {
  4: [
    ...["forwarding", "rp_filter", "accept_local", "route_localnet", "accept_source_route"],
    ...["send_redirects", "log_martians"],
  ],
  6: ["forwarding", "force_forwarding", "mtu"],
};

/** Not modelled: the value that is assumed, and what is judged as with it. */
const NOT_MODELLED: readonly (readonly [pattern: RegExp, assumed: number, what: string])[] = [
  [
    /^net\.bridge\.bridge-nf-filter-vlan-tagged$/,
    0,
    "frames with a VLAN tag that a bridge hands on",
  ],
  [/^net\.bridge\.bridge-nf-pass-vlan-input-dev$/, 0, "the interface of frames with a VLAN tag"],
  [/^net\.netfilter\.nf_conntrack_checksum$/, 1, "UDP-Lite packets"],
  [/^net\.ipv6\.max_hbh_opts_number$/, 8, "packets with many hop-by-hop options"],
  [/^net\.ipv6\.max_hbh_length$/, 0x7fffffff, "packets with a long hop-by-hop options header"],
  [/^net\.ipv4\.ip_forward_use_pmtu$/, 0, "packets beyond an MTU that was learnt"],
  [/^net\.ipv6\.conf\..+\.ioam6_enabled$/, 0, "packets with IOAM options"],
  [/^net\.ipv4\.conf\..+\.bc_forwarding$/, 0, "packets to a subnet's broadcast address"],
  [/^net\.ipv4\.conf\..+\.src_valid_mark$/, 0, "sources where ip rules look at marks"],
  [/^net\.ipv6\.conf\..+\.disable_ipv6$/, 0, "IPv6 packets of that interface"],
  [/^net\.ipv6\.conf\..+\.seg6_enabled$/, 0, "packets with segment routing headers"],
];

interface ConfKey {
  readonly family: 4 | 6;
  readonly interface: string;
  readonly name: string;
}

function confKeyOf(key: string): ConfKey | undefined {
  const found = /^net\.ipv([46])\.conf\.(.+)\.([a-z0-9_]+)$/.exec(key);
  if (found === null) return undefined;
  const [, digit, name = "", last = ""] = found;
  return { family: digit === "4" ? 4 : 6, interface: name, name: last };
}

function isKnown(key: string): boolean {
  const conf = confKeyOf(key);
  if (conf !== undefined && OF_INTERFACES[conf.family].includes(conf.name)) return true;
  if (NOT_MODELLED.some(([pattern]) => pattern.test(key))) return true;
  return SWITCHES.includes(key) || IDLE.includes(key);
}

/** In dots; a dot in an interface's name, which sysctl prints as a slash, is one there, too. */
function inDots(key: string): string {
  const separator = /[./]/.exec(key)?.[0];
  if (separator === "/") return key.replaceAll("/", ".");
  return key
    .split(".")
    .map((part) => part.replaceAll("/", "."))
    .join(".");
}

function readText(
  { file, text, named }: SysctlText,
  values: Map<string, number>,
  onDiagnostic: OnDiagnostic,
): void {
  text.split(/\r?\n/).forEach((line, index) => {
    // Comments of sysctl.conf, and what sysctl says of keys that it may not read.
    if (/^\s*([#;]|$)/.test(line) || line.startsWith("sysctl: ")) return;
    const report = (message: string, column: number, suggestion?: string): void => {
      onDiagnostic({
        severity: "error",
        code: "BAD_DUMP",
        message,
        place: named === true ? { file } : { file, line: index + 1, column },
        ...(suggestion === undefined ? {} : { suggestion }),
      });
    };
    const found = /^\s*-?([^\s=]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (found === null) {
      report('expected "key = value", as sysctl -a prints it', 1);
      return;
    }
    const [, raw = "", value = ""] = found;
    const key = inDots(raw);
    if (named === true && key === `${CT}max`) {
      report(`${raw} is not read`, 1, `say --conntrack-max ${value}`);
      return;
    }
    if (!isKnown(key)) {
      if (named === true) report(`${raw} is not a switch that is modelled`, 1, nearest(key));
      return;
    }
    if (!/^\d{1,10}$/.test(value)) {
      report(`${raw} is "${value}": expected a number`, line.trimEnd().length - value.length + 1);
      return;
    }
    const most = mostOf(key);
    if (Number(value) > most) {
      report(
        `${raw} is ${value}: the kernel takes at most ${most}`,
        line.trimEnd().length - value.length + 1,
      );
      return;
    }
    values.set(key, Number(value));
  });
}

/** As of the largest that a kernel prints: timeouts are kept in ticks, of which a second has 100 at least. */
function mostOf(key: string): number {
  if (key === `${CT}tcp_max_retrans`) return 255;
  return TIMEOUT_NAMES.some((name) => key === CT + name) ? 21_474_836 : 0xffffffff;
}

function nearest(key: string): string | undefined {
  const conf = confKeyOf(key);
  const known =
    conf === undefined
      ? SWITCHES
      : OF_INTERFACES[conf.family].map(
          (name) => `net.ipv${conf.family}.conf.${conf.interface}.${name}`,
        );
  const [best] = known
    .map((candidate) => ({ candidate, away: distance(key, candidate) }))
    .sort((one, other) => one.away - other.away);
  if (best === undefined || best.away > DISTANCE_MAX) return undefined;
  return `did you mean ${best.candidate}?`;
}

/** `nf_conntrack_` may have been left out. */
const DISTANCE_MAX = 14;

function warnOf(values: ReadonlyMap<string, number>, onDiagnostic: OnDiagnostic): void {
  for (const [key, value] of values) {
    const [, assumed, what] = NOT_MODELLED.find(([pattern]) => pattern.test(key)) ?? [];
    if (assumed === undefined || assumed === value) continue;
    if (confKeyOf(key)?.interface === "default") continue;
    const message = `${key} is ${value}, which is not modelled: ${what} are judged as with ${assumed}`;
    onDiagnostic({ severity: "warning", code: "UNSUPPORTED_FEATURE", message });
  }
}

function buildSwitches(values: ReadonlyMap<string, number>): NodeSwitches {
  const names = new Set([...values.keys()].flatMap((key) => confKeyOf(key)?.interface ?? []));
  // > What is set for `default` is for interfaces that are yet to be made.
  for (const name of ["all", "default"]) names.delete(name);
  const isOn = (key: string): boolean | undefined => {
    const value = values.get(key);
    return value === undefined ? undefined : value !== 0;
  };
  return {
    tcpLiberal: (values.get(`${CT}tcp_be_liberal`) ?? 0) !== 0,
    tcpLoose: (values.get(`${CT}tcp_loose`) ?? 1) !== 0,
    tcpIgnoreInvalidResets: (values.get(`${CT}tcp_ignore_invalid_rst`) ?? 0) !== 0,
    tcpRetransmissionsMax: values.get(`${CT}tcp_max_retrans`) ?? 3,
    timeouts: new Map(
      TIMEOUT_NAMES.flatMap((name) => {
        const seconds = values.get(CT + name);
        return seconds === undefined ? [] : [[name, seconds] as const];
      }),
    ),
    bridgeCalls: {
      4: isOn("net.bridge.bridge-nf-call-iptables"),
      6: isOn("net.bridge.bridge-nf-call-ip6tables"),
    },
    mtus6: new Map(
      [...names].flatMap((name) => {
        const mtu = values.get(`net.ipv6.conf.${name}.mtu`);
        return mtu === undefined ? [] : [[name, mtu] as const];
      }),
    ),
    interfaces: new Map([...names].map((name) => [name, switchesOf(values, name)])),
    others: switchesOf(values, undefined),
  };
}

/** > For each switch there is a rule of how `conf.all` and `conf.NAME` go together. */
function switchesOf(
  values: ReadonlyMap<string, number>,
  name: string | undefined,
): InterfaceSwitches {
  const all = (key: string): number | undefined => values.get(`net.ipv4.conf.all.${key}`);
  const own = (key: string): number | undefined =>
    name === undefined ? undefined : values.get(`net.ipv4.conf.${name}.${key}`);
  // > What is written for all is written to each; read is each one's own.
  const forwarding =
    own("forwarding") ?? all("forwarding") ?? values.get("net.ipv4.ip_forward") ?? 1;
  // > IN_DEV_MAXCONF()
  const filter = Math.max(all("rp_filter") ?? 0, own("rp_filter") ?? 0);
  // > IN_DEV_ORCONF()
  const either = (key: string): boolean => (all(key) ?? 0) !== 0 || (own(key) ?? 0) !== 0;
  const forwarding6 =
    (values.get("net.ipv6.conf.all.forwarding") ?? 1) !== 0 ||
    (values.get(`net.ipv6.conf.${name ?? "all"}.force_forwarding`) ?? 0) !== 0;
  return {
    forwarding: forwarding !== 0,
    forwarding6,
    rpFilter: filter === 0 ? "off" : filter === 1 ? "strict" : "loose",
    acceptLocal: either("accept_local"),
    routeLocalnet: either("route_localnet"),
    // > IN_DEV_ANDCONF(); new interfaces have 1, all of them together 0.
    acceptSourceRoute:
      (all("accept_source_route") ?? 0) !== 0 && (own("accept_source_route") ?? 1) !== 0,
    sendRedirects: (all("send_redirects") ?? 1) !== 0 || (own("send_redirects") ?? 1) !== 0,
  };
}
