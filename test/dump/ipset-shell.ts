/**
 * The lines of ipset's own tests as a shell would run them, with our reader, printer and matcher in the
 * place of ipset and the kernel.
 */
import { parseIpsets } from "../../src/dump/ipset-save.ts";
import type { Diagnostic } from "../../src/errors.ts";
import { renderIpsets } from "../../src/tables/ipset.ts";
import type { EntrySet } from "../../src/tables/model.ts";
import { SET_TYPES } from "../../src/tables/set-types.ts";
import { buildFrame, buildPcapng, TCP } from "../frames.ts";
import { judgeCapture } from "../judge.ts";
import { NODE_MAC, nodeOf } from "../match/judge-node.ts";

const START_NS = 1_700_000_000_000_000_000n;
const SECOND = 1_000_000_000n;
const DIRECTIONS = ["src", "dst", "dst"];

/** What a line came to: its exit code, and why where that is not 0. */
export interface Outcome {
  readonly exit: 0 | 1;
  readonly because?: string;
}

const DONE: Outcome = { exit: 0 };

function failed(because: string): Outcome {
  return { exit: 1, because };
}

function same(one: readonly string[], other: readonly string[]): Outcome {
  const differing = [
    ...one.filter((line) => !other.includes(line)),
    ...other.filter((line) => !one.includes(line)).map((line) => `not ${line}`),
  ];
  return differing.length === 0 && one.length === other.length
    ? DONE
    : failed(differing.join("; "));
}

interface Read {
  readonly sets: readonly EntrySet[];
  /** What is wrong with the first line that is refused. */
  readonly fault: string | undefined;
}

function readSets(text: string): Read {
  const said: Diagnostic[] = [];
  const sets = parseIpsets(text, "sets", (diagnostic) => said.push(diagnostic));
  return { sets, fault: said[0]?.message };
}

/** Lines as ipset's tests compare them: whatever their order and the seed of the kernel's hash. */
function comparable(text: string): string[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.replace(/ bucketsize 12 initval 0x[0-9a-f]+/, "")).toSorted();
}

/** Whatever is left of the time of an entry that does not stay for ever. */
function timeless(text: string): string {
  return text.replace(/^(add .* timeout) [1-9]\d*/gm, "$1 x");
}

/** The sets some seconds later. > What is left of an entry's time is cut to whole seconds. */
function afterSeconds(text: string, seconds: number): string {
  const lines = text.split("\n").flatMap((line) => {
    const left = Number(/^add .* timeout (\d+)/.exec(line)?.[1] ?? 0);
    if (left === 0) return [line];
    return left <= seconds ? [] : [line.replace(/ timeout \d+/, ` timeout ${left - seconds}`)];
  });
  return lines.join("\n");
}

/** The sets of one of ipset's tests, from line to line. */
export class IpsetShell {
  readonly #corpusText: (name: string) => string;
  /** What `ipset save` printed when it was asked last. */
  #text = "";
  /** Seconds since then. */
  #elapsed = 0;
  /** What was printed last to be compared, and what was saved. */
  #printed = "";
  #saved = "";

  constructor(corpusText: (name: string) => string) {
    this.#corpusText = corpusText;
  }

  /** Sleeps. */
  sleep(seconds: number): Outcome {
    this.#elapsed += seconds;
    return DONE;
  }

  /** One command that changes sets, or lines for `ipset restore`. */
  restore(lines: string): Outcome {
    const { sets, fault } = readSets(`${this.#now()}\n${lines}`);
    if (fault !== undefined) return failed(fault);
    this.#text = renderIpsets([{ sets }]);
    this.#elapsed = 0;
    const again = readSets(this.#text);
    const kept = again.fault === undefined && renderIpsets([again]) === this.#text;
    return kept ? DONE : failed("what is printed is not read as itself");
  }

  /** Restores a file of the corpus, or what was saved; changed on its way. */
  restoreFile(name: string, change: (text: string) => string = (text) => text): Outcome {
    return this.restore(
      change(name.endsWith("6.t.restore") ? this.#saved : this.#corpusText(name)),
    );
  }

  /** Prints a set, or all, to be compared. */
  print(name: string): Outcome {
    this.#printed = this.#only(name, this.#now());
    return DONE;
  }

  save(name: string): Outcome {
    this.#saved = this.#only(name, this.#now());
    return DONE;
  }

  /** Compares what was printed with a file of the corpus: a listing, or a sorted save. */
  compare(name: string): Outcome {
    const { sets, fault } = readSets(this.#corpusText(name));
    if (fault !== undefined) return failed(fault);
    return same(
      comparable(timeless(this.#printed)),
      comparable(timeless(renderIpsets([{ sets }]))),
    );
  }

  /** Compares the entries alone. */
  compareEntries(name: string): Outcome {
    const added = (text: string): string[] =>
      comparable(text).filter((line) => line.startsWith("add "));
    return same(added(this.#now()), added(this.#corpusText(name)));
  }

  /** Compares the number of lines that `ipset save` prints of a set: of all, or of its entries. */
  count(name: string, which: "lines" | "entries", expected: number): Outcome {
    const lines = comparable(this.#only(name, this.#now()));
    const counted = which === "lines" ? lines : lines.filter((line) => line.startsWith("add "));
    return counted.length === expected ? DONE : failed(`${counted.length}, not ${expected}`);
  }

  /** Looks at an entry's numbers: packets and bytes, with the timeout before them. */
  numbers(name: string, entry: string, numbers: readonly string[]): Outcome {
    const [bytes, packets, timeout] = numbers.toReversed();
    const extras = [
      ...(timeout === undefined ? [] : ["timeout", timeout]),
      "packets",
      packets,
      "bytes",
      bytes,
    ];
    const line = `add ${name} ${entry} ${extras.join(" ")}`;
    const lines = comparable(this.#only(name, this.#now()));
    // > A prefix may be looked for without its length.
    return lines.includes(line) || lines.some((each) => each.replace(/\/\d+/, "") === line)
      ? DONE
      : failed(`${lines.join("; ")}, not ${line}`);
  }

  /** Deletes the entries of a set one by one. */
  deleteAll(name: string): Outcome {
    const lines = this.#only(name, this.#now()).split("\n");
    return this.restore(
      lines
        .filter((line) => line.startsWith("add "))
        .map((line) => line.replace("add", "del"))
        .join("\n"),
    );
  }

  /**
   * `ipset test`: an entry of addresses is asked for by a packet that has them, one of prefixes is looked
   * up among the entries.
   */
  async test(name: string, entry: string, nomatch: boolean): Promise<Outcome> {
    const set = readSets(this.#now()).sets.find((each) => each.name === name);
    if (set === undefined) return failed(`there is no set ${name}`);
    if (entry.includes("/")) {
      const added = this.restore(`add ${name} ${entry}`);
      if (added.exit === 1) return /is in the set already/.test(added.because ?? "") ? DONE : added;
      this.restore(`del ${name} ${entry}`);
      return failed("not among the entries");
    }
    const dropped = await this.#asksPacket(set, entry.split(","), nomatch);
    return dropped ? DONE : failed("no packet finds it");
  }

  async #asksPacket(set: EntrySet, parts: readonly string[], nomatch: boolean): Promise<boolean> {
    const six = set.family === 6;
    const elsewhere = six ? "2001:db8:ffff::1" : "203.0.113.1";
    const [source = "", port = "1", destination = elsewhere] = parts;
    const frame = (from: string, seconds: number) => ({
      bytes: buildFrame({
        ...{ source: from, destination, protocol: TCP },
        ...{ sourcePort: Number(port), destinationPort: Number(port), destinationMac: NODE_MAC },
      }),
      timestampNs: START_NS + BigInt(seconds) * SECOND,
      captureInterface: 0,
    });
    const directions = DIRECTIONS.slice(0, SET_TYPES[set.type].length).join(",");
    const match = `-m set --match-set ${set.name} ${directions}${nomatch ? " --return-nomatch" : ""}`;
    const raw = `*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING ${match} -j DROP\n-A PREROUTING -j DROP\nCOMMIT`;
    const compiled = nodeOf([], "legacy", six ? 6 : 4, this.#text, raw);
    // The sets are taken to have been listed when the first packet came.
    const capture = buildPcapng([frame(elsewhere, 0), frame(source, this.#elapsed)], ["eth0"]);
    const [, verdict] = await judgeCapture({ compiled, capture });
    if (verdict?.verdict !== "drop") throw new Error(`${verdict?.verdict}: ${verdict?.reason}`);
    return verdict.rule?.number === 1;
  }

  /** What `ipset save` prints now. */
  #now(): string {
    return afterSeconds(this.#text, this.#elapsed);
  }

  #only(name: string, text: string): string {
    const { sets } = readSets(text);
    return renderIpsets([{ sets: sets.filter((set) => name === "" || set.name === name) }]);
  }
}
