/**
 * The connections that a node follows: `/proc/net/nf_conntrack`, or what `conntrack -L` prints (also with
 * `-o extended,id,ktimestamp,labels`). A line has both directions' tuples; what it says of zones, helpers
 * and flow tables goes beyond what is modelled and is told.
 * Source: Linux, nf_conntrack_standalone.c, ct_seq_show(); libnetfilter_conntrack, snprintf_default.c.
 */
import type { DiagnosticCode, OnDiagnostic } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import type { Address } from "../net/address.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import type { Connection, ConnectionTuple } from "../tables/model.ts";

/** Parses the file; connections of other zones are left aside, with a warning. */
export function parseConnections(
  text: string,
  file: string,
  onDiagnostic: OnDiagnostic,
): Connection[] {
  const oddities: Oddities = { zoned: 0, beyond: 0, helped: 0, fields: new Set() };
  const connections = text.split(/\r?\n/).flatMap((line, index): Connection[] => {
    // The last line is the tool's own, where both its outputs went into one file.
    if (line.trim() === "" || /^conntrack v[\d.]+ /.test(line)) return [];
    try {
      const connection = new LineReader(line, oddities).read();
      return connection === undefined ? [] : [connection];
    } catch (error) {
      if (!(error instanceof LineFault)) throw error;
      const place = { file, line: index + 1, column: error.column };
      onDiagnostic({ severity: "error", code: "BAD_DUMP", message: error.message, place });
      return [];
    }
  });
  warnOf(oddities, file, onDiagnostic);
  return connections;
}

/** What lines say that changes more than their own connection. */
interface Oddities {
  zoned: number;
  beyond: number;
  helped: number;
  readonly fields: Set<string>;
}

function warnOf(oddities: Oddities, file: string, onDiagnostic: OnDiagnostic): void {
  const warn = (message: string, code: DiagnosticCode = "UNSUPPORTED_FEATURE"): void => {
    onDiagnostic({ severity: "warning", code, message, place: { file } });
  };
  const { zoned, beyond, helped, fields } = oddities;
  if (zoned > 0) {
    warn(
      `${connectionsText(zoned)} of zones other than 0 left aside: packets that a rule puts into a zone are unknown`,
    );
  }
  if (beyond > 0) {
    warn(
      `${connectionsText(beyond)} in flow tables (OFFLOAD), in a zone of one direction or with keys of their own: their packets are unknown`,
    );
  }
  if (helped > 0) {
    warn(
      `${connectionsText(helped)} with a helper: a new connection may be one that it expects, and is unknown where that matters`,
    );
  }
  if (fields.size > 0) warn(`fields that are not known are left aside: ${[...fields].join(", ")}`);
}

function connectionsText(count: number): string {
  return count === 1 ? "1 connection" : `${count} connections`;
}

/** The line is not what is expected at a column. */
class LineFault extends Error {
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.column = column;
  }
}

/** One word, or a time in brackets. */
interface Piece {
  readonly text: string;
  /** 1-based. */
  readonly column: number;
}

/** The kernel's names of states, by number. */
const STATES: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  [PROTOCOL_TCP]: numbered(
    "NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2",
    { LISTEN: 9 },
  ),
  [PROTOCOL_SCTP]: numbered(
    "NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT HEARTBEAT_SENT",
    // Of kernels before 6.3; an association that is alive, as today's ESTABLISHED.
    { HEARTBEAT_ACKED: 4 },
  ),
  [PROTOCOL_DCCP]: numbered(
    "NONE REQUEST RESPOND PARTOPEN OPEN CLOSEREQ CLOSING TIMEWAIT IGNORE INVALID",
    {},
  ),
};

function numbered(
  names: string,
  others: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  return { ...Object.fromEntries(names.split(" ").map((name, at) => [name, at])), ...others };
}

/** What a tuple has behind its addresses, in this order. */
const PORTS = ["sport", "dport"] as const;
const WITH_PORTS: ReadonlySet<number> = new Set([
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
  PROTOCOL_SCTP,
  PROTOCOL_DCCP,
]);
const PROTOCOL_GRE = 47;

/** What does not change a verdict. */
const IDLE_FIELDS: ReadonlySet<string> = new Set([
  "packets",
  "bytes",
  "secctx",
  "secmark",
  "use",
  "id",
  "labels",
]);

/** The mask that is behind `zone-orig`, `zone-reply`: whatever they name is not zone 0. */
const ONE_WAY_ZONES: ReadonlySet<string> = new Set(["zone-orig", "zone-reply"]);

class LineReader {
  readonly #pieces: readonly Piece[];
  readonly #end: number;
  readonly #oddities: Oddities;
  #at = 0;

  constructor(line: string, oddities: Oddities) {
    this.#pieces = [...line.matchAll(/\[[^\]]*\]|[^\s[]+/g)].map((found) => ({
      text: found[0],
      column: found.index + 1,
    }));
    this.#end = line.length + 1;
    this.#oddities = oddities;
  }

  /** Undefined: it belongs to another zone. */
  read(): Connection | undefined {
    this.#skipFamily();
    this.#next("the name of a protocol", /^[a-z][\w-]*$/i);
    const protocol = this.#number("the number of the protocol", 255);
    // > A connection in a flow table has neither time nor state.
    const timed = /^\d+$/.test(this.#peek());
    const timeoutSeconds = timed ? this.#number("the seconds that are left", 0xffffffff) : 0;
    const state = this.#state(protocol);
    const original = this.#tuple(protocol);
    const flags = new Set<string>();
    const fields = new Map<string, string>();
    this.#fields(flags, fields);
    const reply = this.#tuple(protocol);
    this.#fields(flags, fields);
    if (this.#peek() !== "") this.#fail("a field as conntrack -L prints it");
    if (original.source.family !== reply.source.family) this.#fail("addresses of one family");
    if (Number(fields.get("zone") ?? "0") !== 0) {
      this.#oddities.zoned += 1;
      return undefined;
    }
    const offloaded = flags.has("[OFFLOAD]") || flags.has("[HW_OFFLOAD]");
    if (!timed && !offloaded) this.#fail("the seconds that are left", 0);
    const oneWay = [...ONE_WAY_ZONES].some((zone) => fields.has(zone));
    const keyed = protocol === PROTOCOL_GRE && original.sourcePort !== 0;
    const beyond = offloaded || oneWay || keyed;
    const helped = fields.has("helper");
    if (beyond) this.#oddities.beyond += 1;
    if (helped) this.#oddities.helped += 1;
    const age = fields.get("delta-time");
    return {
      protocol,
      original,
      reply,
      state,
      timeoutSeconds: timed ? timeoutSeconds : OFFLOADED_SECONDS,
      ageSeconds: age === undefined ? undefined : Number(age),
      answered: !flags.has("[UNREPLIED]"),
      assured: flags.has("[ASSURED]"),
      mark: Number(fields.get("mark") ?? "0"),
      helped,
      beyond,
    };
  }

  #skipFamily(): void {
    const text = this.#peek();
    if (text !== "ipv4" && text !== "ipv6") return;
    this.#at += 1;
    this.#next("the number of the address family", /^(2|10)$/);
  }

  #state(protocol: number): number {
    const text = this.#peek();
    const numbers = STATES[protocol];
    if (text.includes("=")) return 0;
    const number =
      numbers !== undefined && Object.hasOwn(numbers, text) ? numbers[text] : undefined;
    if (number === undefined) {
      return this.#fail(
        numbers === undefined ? "src=" : `src=, or a state: ${Object.keys(numbers).join(", ")}`,
      );
    }
    this.#at += 1;
    return number;
  }

  #tuple(protocol: number): ConnectionTuple {
    const source = this.#address("src");
    const destination = this.#address("dst");
    if (source.family !== destination.family) this.#fail("addresses of one family");
    const base = { source, destination };
    if (WITH_PORTS.has(protocol)) {
      const [sourcePort, destinationPort] = PORTS.map((name) => this.#valued(name, 0xffff));
      return { ...base, sourcePort: sourcePort ?? 0, destinationPort: destinationPort ?? 0 };
    }
    if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
      const kind = this.#valued("type", 255) * 256 + this.#valued("code", 255);
      return { ...base, sourcePort: this.#valued("id", 0xffff), destinationPort: kind };
    }
    if (protocol === PROTOCOL_GRE && this.#peek().startsWith("srckey=")) {
      const sourcePort = this.#valued("srckey", 0xffff);
      return { ...base, sourcePort, destinationPort: this.#valued("dstkey", 0xffff) };
    }
    return { ...base, sourcePort: 0, destinationPort: 0 };
  }

  /** Everything up to the next tuple, or the end. */
  #fields(flags: Set<string>, fields: Map<string, string>): void {
    for (; this.#at < this.#pieces.length; this.#at += 1) {
      const text = this.#peek();
      if (text.startsWith("src=")) return;
      if (/^\[(start|stop)=/.test(text)) continue;
      if (text.startsWith("[")) {
        if (!FLAGS.has(text)) this.#fail([...FLAGS].join(", "));
        flags.add(text);
        continue;
      }
      const found = /^([a-z][\w-]*)=(.*)$/.exec(text);
      if (found === null) return;
      const [, name = "", value = ""] = found;
      if (IDLE_FIELDS.has(name)) continue;
      if (!FIELDS.has(name)) this.#oddities.fields.add(name);
      else if (name !== "helper" && !/^\d{1,10}$/.test(value)) this.#fail(`${name}=NUMBER`);
      fields.set(name, value);
    }
  }

  #address(name: string): Address {
    const text = this.#peek();
    const address = text.startsWith(`${name}=`)
      ? parseAddress(text.slice(name.length + 1))
      : undefined;
    if (address === undefined) return this.#fail(`${name}=ADDRESS`);
    this.#at += 1;
    return address;
  }

  #valued(name: string, most: number): number {
    const text = this.#peek();
    const value = text.startsWith(`${name}=`) ? text.slice(name.length + 1) : "";
    const number = /^(\d{1,10}|0x[\da-f]{1,8})$/i.test(value) ? Number(value) : NaN;
    if (!(number <= most)) return this.#fail(`${name}=NUMBER up to ${most}`);
    this.#at += 1;
    return number;
  }

  #number(what: string, most: number): number {
    const text = this.#peek();
    if (!/^\d{1,10}$/.test(text) || Number(text) > most) return this.#fail(what);
    this.#at += 1;
    return Number(text);
  }

  #next(what: string, pattern: RegExp): void {
    if (!pattern.test(this.#peek())) this.#fail(what);
    this.#at += 1;
  }

  #peek(): string {
    return this.#pieces[this.#at]?.text ?? "";
  }

  #fail(expected: string, at = this.#at): never {
    const piece = this.#pieces[at];
    const found = piece === undefined ? "the line ends" : `"${piece.text}"`;
    throw new LineFault(`${found}: expected ${expected}`, piece?.column ?? this.#end);
  }
}

const FLAGS: ReadonlySet<string> = new Set([
  "[UNREPLIED]",
  "[ASSURED]",
  "[OFFLOAD]",
  "[HW_OFFLOAD]",
]);
const FIELDS: ReadonlySet<string> = new Set([
  "mark",
  "zone",
  "zone-orig",
  "zone-reply",
  "delta-time",
  "helper",
]);

/** > nf_ct_offload_timeout(): a day, renewed as long as the flow table has it. */
const OFFLOADED_SECONDS = 86_400;
