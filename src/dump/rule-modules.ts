/**
 * The modules that a rule loads, and the options that fall to each: an option belongs to the module that was
 * loaded last and has it.
 */
import { RuleError } from "../match/extension.ts";
import type { Module, RuleContext } from "../match/extension.ts";
import { MATCH_MODULES } from "../match/index.ts";
import type { Match } from "../match/index.ts";
import {
  PROTOCOL_DCCP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  PROTOCOL_UDPLITE,
} from "../net/protocol.ts";
import { TARGET_MODULES } from "../target/index.ts";
import type { Target } from "../target/index.ts";
import { RuleFault } from "./rule-fault.ts";
import type { PlacedUse } from "./rule-options.ts";

/** One `-m` or extension `-j`, and the options that fell to it. */
export interface Loaded {
  readonly what: "match" | "target";
  readonly name: string;
  /** Undefined: not modelled. */
  readonly module: Module<Match> | Module<Target> | undefined;
  readonly column: number;
  readonly uses: PlacedUse[];
  /** Of an extension that is not modelled: its words. */
  readonly words: string[];
}

const matchModules = new Map(MATCH_MODULES.map((module) => [module.name, module]));
const targetModules = new Map(TARGET_MODULES.map((module) => [module.name, module]));

/** Tells whether a target is modelled. */
export function isTargetModule(name: string): boolean {
  return targetModules.has(name);
}

/** What one rule has loaded. */
export class RuleModules {
  readonly #loaded: Loaded[] = [];
  /** The names of what is loaded, and the options that it has: rules may be megabytes long. */
  readonly #names = new Set<string>();
  readonly #options = new Set<string>();

  /** In the order of the rule. */
  get loaded(): readonly Loaded[] {
    return this.#loaded;
  }

  /** Options of all that is loaded. */
  get options(): ReadonlySet<string> {
    return this.#options;
  }

  /** Loads what `-m` or `-j` names. */
  load(what: Loaded["what"], name: string, column: number): Loaded {
    const module = what === "match" ? matchModules.get(name) : targetModules.get(name);
    const loaded: Loaded = { what, name, module, column, uses: [], words: [] };
    this.#add(loaded);
    return loaded;
  }

  /** The module loaded last that has the option. */
  ownerOf(name: string): Loaded | undefined {
    if (!this.#options.has(name)) return undefined;
    return this.#loaded.findLast(
      ({ module }) => module !== undefined && Object.hasOwn(module.options, name),
    );
  }

  /** > `-p tcp` loads the tcp match as soon as one of its options is met. */
  loadImplicit(name: string, protocol: RuleContext["protocol"], column: number): boolean {
    const module = this.implicitModule(protocol);
    if (module === undefined || !Object.hasOwn(module.options, name)) return false;
    this.#add({ what: "match", name: module.name, module, column, uses: [], words: [] });
    return true;
  }

  /** What `-p` may still load. */
  implicitModule(protocol: RuleContext["protocol"]): Module<Match> | undefined {
    const { number, invert } = protocol ?? { number: -1, invert: true };
    const name = invert ? undefined : IMPLICIT.get(number);
    if (name === undefined || this.#names.has(name)) return undefined;
    return matchModules.get(name);
  }

  #add(loaded: Loaded): void {
    this.#loaded.push(loaded);
    this.#names.add(loaded.name);
    for (const option of Object.keys(loaded.module?.options ?? {})) this.#options.add(option);
  }
}

const IMPLICIT: ReadonlyMap<number, string> = new Map([
  [PROTOCOL_TCP, "tcp"],
  [PROTOCOL_UDP, "udp"],
  [PROTOCOL_UDPLITE, "udplite"],
  [PROTOCOL_SCTP, "sctp"],
  [PROTOCOL_DCCP, "dccp"],
  [1, "icmp"],
  [58, "icmp6"],
  [50, "esp"],
  [51, "ah"],
  [108, "ipcomp"],
  [135, "mh"],
]);

/** What a loaded match says, when all of the rule is known. */
export function finishMatch(loaded: Loaded, context: RuleContext): Match {
  const module = matchModules.get(loaded.name);
  if (module === undefined) {
    return { kind: "opaque", name: loaded.name, text: loaded.words.join(" ") };
  }
  return finish(loaded, () => module.parse(loaded.uses, context));
}

/** The same of a target. */
export function finishTarget(loaded: Loaded, context: RuleContext): Target {
  const module = targetModules.get(loaded.name);
  if (module === undefined) {
    return { kind: "opaque", name: loaded.name, text: loaded.words.join(" ") };
  }
  return finish(loaded, () => module.parse(loaded.uses, context));
}

/** Runs a module's parser; its faults get the column of the option they are about. */
function finish<T>({ what, name, uses, column }: Loaded, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    const where = uses.find((use) => use === error.option)?.column ?? column;
    const flag = what === "match" ? "-m" : "-j";
    throw new RuleFault(`${flag} ${name}: ${error.message}`, where);
  }
}
