/**
 * Host names in a text, where tcpdump ran without `-n`: resolved through the reader's options, or kept
 * by number so that a verdict can say which name it lacks.
 */
import type { Address, Family } from "../net/address.ts";
import type { ReaderOptions } from "./format.ts";
import type { TextLog } from "./tcpdump-log.ts";
import type { Ends, Host, TextPacket } from "./tcpdump-packet.ts";

/** PACKET_SRC_NAME has 16 bits and counts from 1. */
const NAMES_MAX = 0xffff;

/** The names of one text. */
export class NameTable {
  /** Names that nobody resolved, in the order of their first packets. */
  readonly names: string[] = [];
  readonly #numberByName = new Map<string, number>();
  readonly #options: ReaderOptions;
  readonly #log: TextLog;

  constructor(options: ReaderOptions, log: TextLog) {
    this.#options = options;
    this.#log = log;
  }

  /** Finds the addresses of a packet's ends, or their numbers in `names`. */
  resolve(packet: TextPacket, line: number): Ends {
    const src = this.#resolveHost(packet.src, packet.family);
    const dst = this.#resolveHost(packet.dst, packet.family);
    return {
      src,
      dst,
      srcName: src === undefined ? this.#numberOf(packet.src, line) : 0,
      dstName: dst === undefined ? this.#numberOf(packet.dst, line) : 0,
    };
  }

  /** An address of the other family is not the one that the packet had. */
  #resolveHost(host: Host | undefined, family: Family | undefined): Address | undefined {
    if (typeof host !== "string") return host;
    const address = this.#options.resolveName?.(host, family);
    return address?.family === family ? address : undefined;
  }

  #numberOf(host: Host | undefined, line: number): number {
    if (typeof host !== "string") return 0;
    const known = this.#numberByName.get(host);
    if (known !== undefined) return known;
    if (this.names.length >= NAMES_MAX) return 0;
    this.names.push(host);
    const number = this.names.length;
    this.#numberByName.set(host, number);
    this.#log.unresolvedName(host, line);
    return number;
  }
}
