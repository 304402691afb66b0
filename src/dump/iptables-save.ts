/**
 * The text of iptables-save and ip6tables-save, and of files written by hand for the restore commands,
 * to rulesets. A rule that cannot be read is an error at its line; nothing is left out.
 */
import type { DiagnosticCode, OnDiagnostic, Place } from "../errors.ts";
import type { Backend } from "../match/extension.ts";
import { setNameOf } from "../match/set.ts";
import type { Family } from "../net/address.ts";
import type { Chain, Hook, IpSet, Rule, Ruleset, Table, TableName } from "../tables/model.ts";
import { refuseLoops } from "../tables/loops.ts";
import { RuleFault } from "./rule-fault.ts";
import { parseRule } from "./rule.ts";
import { splitWords } from "./words.ts";
import type { Word } from "./words.ts";

/** One file of rules. */
export interface DumpText {
  readonly file: string;
  readonly text: string;
  readonly family: Family;
  /** Undefined: what the header of the file says. */
  readonly backend: Backend | undefined;
  /** The legacy tables of the same node and family are given, too. */
  readonly besideLegacy?: boolean;
}

/** Built-in chains by table, in the order the save commands print them. */
const HOOKS: Readonly<Record<TableName, readonly Hook[]>> = {
  raw: ["PREROUTING", "OUTPUT"],
  mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  security: ["INPUT", "FORWARD", "OUTPUT"],
};

/** Matches about what no file of a node tells, and what it is taken to be. */
const TAKEN_FOR_GRANTED: ReadonlyMap<string, string> = new Map([
  ["policy", "the node had no IPsec policy, which its files do not tell"],
  ["physdev", "no bridge handed packets over but those that its interfaces show (--addresses)"],
]);

interface OpenChain {
  readonly name: string;
  policy: "ACCEPT" | "DROP" | undefined;
  readonly rules: Rule[];
  /** Undefined: a built-in chain, which needs no line. */
  readonly place: Place | undefined;
}

interface OpenTable {
  readonly name: TableName;
  readonly chains: Map<string, OpenChain>;
}

/** Parses one file; undefined after an error. Sets are those its rules may name. */
export function parseIptablesSave(
  dump: DumpText,
  sets: readonly IpSet[],
  onDiagnostic: OnDiagnostic,
): Ruleset {
  return new DumpParser(dump, sets, onDiagnostic).parse();
}

class DumpParser {
  readonly #dump: DumpText;
  readonly #sets: readonly IpSet[];
  readonly #onDiagnostic: OnDiagnostic;
  readonly #tables: OpenTable[] = [];
  readonly #begun = new Set<OpenTable>();
  readonly #granted = new Set<string>();
  readonly #backend: Backend;
  #open: OpenTable | undefined;
  #line = 0;
  #strayed = false;

  constructor(dump: DumpText, sets: readonly IpSet[], onDiagnostic: OnDiagnostic) {
    this.#dump = dump;
    this.#sets = sets;
    this.#onDiagnostic = onDiagnostic;
    this.#backend = dump.backend ?? backendOf(dump.text) ?? "legacy";
  }

  parse(): Ruleset {
    const { text, family } = this.#dump;
    const lines = text.split(/\r?\n/);
    this.#warnOfHeader();
    this.#declareAll(lines);
    lines.forEach((line, index) => {
      this.#line = index + 1;
      this.#parseLine(line);
    });
    if (this.#open !== undefined) {
      this.#report("TRUNCATED_DUMP", `table ${this.#open.name} has no COMMIT: the file is cut off`);
    }
    const tables = this.#tables.map(closeTable);
    const ruleset = { family, backend: this.#backend, tables, sets: this.#sets };
    refuseLoops(ruleset, this.#dump.file, this.#onDiagnostic);
    this.#refuseMissingSets(ruleset);
    return ruleset;
  }

  #warnOfHeader(): void {
    const { text, backend, family } = this.#dump;
    this.#line = 1;
    if (text.trim() === "") {
      this.#warn("EMPTY_FILE", `no tables: everything of IPv${family} is let through`);
    } else if (backend === undefined && backendOf(text) === undefined) {
      this.#warn(
        "INCOMPLETE_DUMP",
        "the file does not say of which backend it is: taken to be legacy (else say --backend nft)",
      );
    }
  }

  /** Chains may be used before the line that declares them only in what was written by hand. */
  #declareAll(lines: readonly string[]): void {
    let open: OpenTable | undefined;
    for (const [index, raw] of lines.entries()) {
      this.#line = index + 1;
      const line = raw.trim();
      if (line.startsWith("*")) open = this.#tableOf(line.slice(1).trim());
      else if (line === "COMMIT") open = undefined;
      else if (open !== undefined && line.startsWith(":")) this.#declare(open, line.slice(1));
      else if (open !== undefined && /^-(N|-new-chain)\s/.test(line)) {
        this.#declare(open, `${line.split(/\s+/)[1] ?? ""} -`);
      }
    }
  }

  #declare(table: OpenTable, text: string): void {
    const [name = "", policy = "-"] = text.trim().split(/\s+/);
    const column = 1;
    const builtIn = HOOKS[table.name].some((hook) => hook === name);
    if (!builtIn) {
      if (name === "" || /[\s!]/.test(name) || name.startsWith("-")) {
        this.#report("BAD_DUMP", `"${name}" cannot be a chain's name`, column);
      }
      if (policy !== "-") {
        this.#report("BAD_DUMP", `user chain ${name} cannot have a policy: expected -`, column);
      }
      if (!table.chains.has(name)) {
        const place = this.#place(undefined);
        table.chains.set(name, { name, policy: undefined, rules: [], place });
      }
      return;
    }
    if (policy !== "ACCEPT" && policy !== "DROP") {
      this.#report(
        "BAD_DUMP",
        `chain ${name}: the policy is ${policy}, expected ACCEPT or DROP`,
        column,
      );
      return;
    }
    const chain = table.chains.get(name);
    if (chain !== undefined) chain.policy = policy;
  }

  #tableOf(name: string): OpenTable | undefined {
    const known = Object.keys(HOOKS).find((each) => each === name) as TableName | undefined;
    if (known === undefined) {
      this.#report(
        "BAD_DUMP",
        `there is no table ${name}; expected ${Object.keys(HOOKS).join(", ")}`,
        1,
      );
      return undefined;
    }
    const before = this.#tables.find((table) => table.name === known);
    if (before !== undefined) return before;
    const chains = HOOKS[known].map((hook): [string, OpenChain] => [
      hook,
      { name: hook, policy: "ACCEPT", rules: [], place: undefined },
    ]);
    const table = { name: known, chains: new Map(chains) };
    this.#tables.push(table);
    return table;
  }

  #parseLine(raw: string): void {
    const line = raw.trimStart();
    if (line.trim() === "") return;
    if (line.startsWith("#")) {
      this.#parseComment(line);
      return;
    }
    if (line.startsWith("*")) {
      const name = line.slice(1).trim();
      if (this.#open !== undefined) {
        this.#report("TRUNCATED_DUMP", `table ${this.#open.name} has no COMMIT`, 1);
      }
      this.#open = this.#tables.find((table) => table.name === name);
      if (this.#open !== undefined && this.#begun.has(this.#open)) {
        this.#warn("BAD_DUMP", `table ${name} a second time: its rules are appended`, 1);
      }
      if (this.#open !== undefined) this.#begun.add(this.#open);
      return;
    }
    if (line.trim() === "COMMIT") {
      if (this.#open === undefined) this.#report("BAD_DUMP", "COMMIT without a table", 1);
      this.#open = undefined;
      return;
    }
    const table = this.#open;
    if (table === undefined) {
      // Said once: a file that is no dump at all has many such lines.
      if (!this.#strayed) {
        this.#report("BAD_DUMP", "outside of a table: expected a line like *filter first", 1);
      }
      this.#strayed = true;
      return;
    }
    if (line.startsWith(":")) return;
    const words = splitWords(raw);
    if (words === undefined) {
      this.#report("BAD_DUMP", "a quote is not closed", raw.lastIndexOf('"') + 1);
      return;
    }
    this.#parseCommand(table, words);
  }

  #parseComment(line: string): void {
    const [, twin] = /Warning: (ip6?tables-legacy) tables present/.exec(line) ?? [];
    if (twin !== undefined && this.#dump.besideLegacy !== true) {
      this.#warn(
        "INCOMPLETE_DUMP",
        `the node has legacy tables, too: give the output of ${twin}-save as well`,
      );
    }
    const incompatible = /Table [`'](\S+)' (?:is|contains) incompatible/.exec(line);
    if (incompatible !== null) {
      this.#report(
        "UNSUPPORTED_FEATURE",
        `table ${incompatible[1] ?? ""} has what nft made and iptables-save does not show: the dump is not what the kernel does`,
      );
    }
  }

  #parseCommand(table: OpenTable, all: readonly Word[]): void {
    // > With counters: [packets:bytes] in front.
    const words = /^\[\d+:\d+\]$/.test(all[0]?.text ?? "") ? all.slice(1) : all;
    const [command, chainWord, ...rest] = words;
    if (command === undefined) return;
    switch (command.text) {
      case "-A":
      case "--append":
      case "-I":
      case "--insert": {
        if (chainWord === undefined) break;
        const chain = this.#chainAt(table, chainWord);
        if (chain === undefined) return;
        const insert = command.text === "-I" || command.text === "--insert";
        this.#addRules(table, chain, rest, insert);
        return;
      }
      case "-N":
      case "--new-chain":
        return;
      case "-P":
      case "--policy": {
        const [policy] = rest;
        if (chainWord === undefined || policy === undefined) break;
        this.#declare(table, `${chainWord.text} ${policy.text}`);
        return;
      }
      case "-F":
      case "--flush":
        if (chainWord === undefined)
          for (const { rules } of table.chains.values()) rules.length = 0;
        else this.#chainAt(table, chainWord)?.rules.splice(0);
        return;
      default:
        break;
    }
    this.#report(
      "BAD_DUMP",
      `"${command.text}" is no line of iptables-save; expected -A CHAIN ...`,
      command.column,
    );
  }

  #chainAt(table: OpenTable, word: Word): OpenChain | undefined {
    const chain = table.chains.get(word.text);
    if (chain === undefined) {
      this.#report("UNKNOWN_CHAIN", `table ${table.name} has no chain ${word.text}`, word.column);
    }
    return chain;
  }

  #addRules(table: OpenTable, chain: OpenChain, given: readonly Word[], insert: boolean): void {
    const [numberWord] = given;
    const numbered = insert && /^\d+$/.test(numberWord?.text ?? "");
    const words = numbered ? given.slice(1) : given;
    const place = { file: this.#dump.file, line: this.#line };
    const { family } = this.#dump;
    try {
      const parsed = parseRule(words, {
        family,
        backend: this.#backend,
        table: table.name,
        chain: chain.name,
        isChain: (name) => table.chains.get(name)?.policy === undefined && table.chains.has(name),
      });
      for (const { what, name, column } of parsed[0]?.opaque ?? []) {
        const flag = what === "match" ? "-m" : "-j";
        this.#warn(
          "UNSUPPORTED_MATCH",
          `${flag} ${name} is not modelled: packets for which the rule could matter are unknown`,
          column,
        );
      }
      for (const { kind } of parsed[0]?.matches ?? []) {
        const taken = TAKEN_FOR_GRANTED.get(kind);
        if (taken === undefined || this.#granted.has(kind)) continue;
        this.#granted.add(kind);
        this.#warn("UNSUPPORTED_FEATURE", `-m ${kind} is judged as if ${taken}`);
      }
      const rules = parsed.map(({ matches, target, targetColumn: column }): Rule => ({
        matches,
        target,
        place,
        ...(column === undefined ? {} : { targetColumn: column }),
      }));
      const at = insert ? (numbered ? Number(numberWord?.text ?? 1) - 1 : 0) : chain.rules.length;
      if (at < 0 || at > chain.rules.length) {
        throw new RuleFault(
          `${chain.name} has ${chain.rules.length} rules`,
          numberWord?.column ?? 1,
        );
      }
      chain.rules.splice(at, 0, ...rules);
    } catch (error) {
      if (!(error instanceof RuleFault)) throw error;
      this.#report("BAD_RULE", error.message, error.column);
    }
  }

  #refuseMissingSets(ruleset: Ruleset): void {
    const known = new Map(this.#sets.map((set) => [set.name, set]));
    const refuse = (code: DiagnosticCode, message: string, { place }: Rule): void => {
      const where = place === undefined ? {} : { place };
      this.#onDiagnostic({ severity: "error", code, message, ...where });
    };
    for (const { rule, name } of setsOfRules(ruleset)) {
      const set = known.get(name);
      if (set === undefined) {
        const message = `there is no set ${name}: give the output of ipset save with --ipset`;
        refuse("UNKNOWN_SET", message, rule);
      } else if (set.family !== undefined && set.family !== ruleset.family) {
        const message = `set ${name} holds IPv${set.family} addresses: no rule of IPv${ruleset.family} can name it`;
        refuse("BAD_RULE", message, rule);
      }
    }
  }

  #report(code: DiagnosticCode, message: string, column?: number): void {
    this.#onDiagnostic({ severity: "error", code, message, place: this.#place(column) });
  }

  #warn(code: DiagnosticCode, message: string, column?: number): void {
    this.#onDiagnostic({ severity: "warning", code, message, place: this.#place(column) });
  }

  #place(column: number | undefined): Place {
    const { file } = this.#dump;
    return column === undefined ? { file, line: this.#line } : { file, line: this.#line, column };
  }
}

/**
 * The backend that the header tells: `# Generated by iptables-save v1.8.9 (nf_tables) on ...`. Undefined
 * without one, and for 1.8.0 to 1.8.7, whose nft variants may look like legacy's.
 */
export function backendOf(text: string): Backend | undefined {
  const [, command = "", version = "", word] =
    /^# Generated by (\S+) v([\d.]+)(?: \((\w+)\))?/m.exec(text) ?? [];
  if (word === "nf_tables" || /-nft-|^xtables-/.test(command)) return "nft";
  if (word === "legacy" || command.includes("-legacy-")) return "legacy";
  const [major = NaN, minor = NaN, patch = 0] = version.split(".").map(Number);
  if (major !== 1) return undefined;
  return minor < 8 || (minor === 8 && patch >= 8) ? "legacy" : undefined;
}

function closeTable({ name, chains }: OpenTable): Table {
  return {
    name,
    chains: [...chains.values()].map((chain): Chain => ({
      name: chain.name,
      policy: chain.policy,
      rules: chain.rules,
      ...(chain.place === undefined ? {} : { place: chain.place }),
    })),
  };
}

/** The sets that rules name, in matches and targets. */
function* setsOfRules({ family, tables }: Ruleset): Generator<{ rule: Rule; name: string }> {
  for (const { chains } of tables) {
    for (const { rules } of chains) {
      for (const rule of rules) {
        for (const match of rule.matches) {
          if (match.kind === "set") yield { rule, name: setNameOf(match.set, family) };
        }
        if (rule.target?.kind !== "SET") continue;
        for (const place of [rule.target.add, rule.target.delete, rule.target.map]) {
          if (place !== undefined) yield { rule, name: place.set };
        }
      }
    }
  }
}
