/**
 * The interfaces and host names of several captures in one list each: every capture counts its own
 * from zero.
 */
import { CAPTURE_INTERFACE_NONE } from "../../assembly/layout.ts";
import type { CaptureInterface } from "./format.ts";
import type { CaptureStream } from "./stream.ts";

/**
 * The interfaces. Those of one name are one interface: captures of one node that were cut into several
 * files are as common as captures of several nodes, and to take two interfaces for one loses no more
 * than the knowledge that a packet was seen twice. The same holds for those of one number. Those without
 * either stay apart.
 */
export class MergedInterfaces {
  readonly all: CaptureInterface[] = [];
  readonly #numbers = new Map<CaptureStream, number[]>();
  readonly #numberByKey = new Map<string, number>();

  /** The number here of an interface that a capture counts as `own`. */
  number(stream: CaptureStream, own: number): number {
    let numbers = this.#numbers.get(stream);
    if (numbers === undefined) {
      numbers = [];
      this.#numbers.set(stream, numbers);
    }
    return (numbers[own] ??= this.#add(stream, own));
  }

  #add({ interfaces }: CaptureStream, own: number): number {
    const added = interfaces[own];
    if (added === undefined || this.all.length >= CAPTURE_INTERFACE_NONE) {
      return CAPTURE_INTERFACE_NONE;
    }
    const { name, index } = added;
    if (name === undefined && index === undefined) return this.all.push(added) - 1;
    // One capture may have several interfaces of one name, which are those of several nodes.
    const before = interfaces
      .slice(0, own)
      .filter((each) => each.name === name && each.index === index).length;
    const key = `${before} ${index ?? ""} ${name ?? ""}`;
    const known = this.#numberByKey.get(key);
    if (known !== undefined) return known;
    const number = this.all.push(added) - 1;
    this.#numberByKey.set(key, number);
    return number;
  }
}

/** PACKET_SRC_NAME has 16 bits and counts from 1. */
const NAMES_MAX = 0xffff;

/** The host names that nobody resolved: one name is one host. */
export class MergedNames {
  readonly all: string[] = [];
  readonly #numberByName = new Map<string, number>();

  /** What a packet record holds for this name; 0 when there are too many. */
  number(name: string): number {
    const known = this.#numberByName.get(name);
    if (known !== undefined) return known;
    if (this.all.length >= NAMES_MAX) return 0;
    const number = this.all.push(name);
    this.#numberByName.set(name, number);
    return number;
  }
}
