/**
 * Which chains have their records in common. An endpoint's chain is its own by name and by whom its rules stand
 * for; the rules are the same for every endpoint that the same policies select, and in both families; where they ask
 * for sets, each family has records of its own. The records say where a jump leads by the chain's place in its
 * table, so that also chains of several tables can have the same: chains of one name have one place in all tables of
 * a name.
 */
import type { Family } from "../net/address.ts";
import type { Chain, TableName } from "../tables/model.ts";
import type { Target } from "../target/index.ts";
import type { PlacedTable } from "./rule-list.ts";

/** Consecutive records. */
export interface Body {
  /** One of the chains whose rules they are. */
  readonly chain: Chain;
  /** Index of the first. */
  readonly record: number;
  /** Places of the chains that its jumps lead to, in their order. */
  readonly calls: readonly number[];
  /** The places are those of tables of this name. */
  readonly table: TableName;
  /** Only of its tables, as rules ask for its sets. Undefined: of those of both. */
  readonly family: Family | undefined;
}

/** A table, and of each of its chains the place and the body. */
export interface PackedTable {
  readonly table: PlacedTable;
  readonly places: Uint32Array;
  readonly bodies: readonly Body[];
  /** Of all tables of its name. */
  readonly allPlaces: { readonly count: number };
}

/** Finds the bodies of all chains. */
export class BodyList {
  readonly all: Body[] = [];
  readonly tables: readonly PackedTable[];
  /** Records, chain ends included. */
  recordCount = 0;
  readonly #apart: boolean;
  readonly #bodiesByRules = new Map<object, Body[]>();
  readonly #placesByTable = new Map<TableName, TablePlaces>();

  /**
   * @param apart every chain object has a body of its own
   * @throws Error for loops and unknown chains
   */
  constructor(tables: readonly PlacedTable[], apart: boolean) {
    this.#apart = apart;
    this.tables = tables.map((table) => this.#packTable(table));
  }

  /** What a table's chains jump to is in it. */
  #packTable(table: PlacedTable): PackedTable {
    const { name, chains, ruleset } = table;
    const placesOfName = this.#placesByTable.get(name) ?? new TablePlaces();
    this.#placesByTable.set(name, placesOfName);
    const places = placesOfName.enter(chains);
    const own = { table: name, places: placesOfName, family: ruleset.family };
    const bodies = chains.map((chain) => this.#bodyOf(chain, own));
    refuseCycle(places, bodies, placesOfName.count);
    return { table, places, bodies, allPlaces: placesOfName };
  }

  #bodyOf(chain: Chain, { table, places, family }: TableContext): Body {
    const sameRules = this.#apart ? chain : chain.rules;
    const alike = this.#bodiesByRules.get(sameRules);
    if (alike === undefined) {
      const body = this.#addBody(chain, { table, places, family }, callsOf(chain, places));
      this.#bodiesByRules.set(sameRules, [body]);
      return body;
    }
    const fits = (body: Body): boolean =>
      body.chain.policy === chain.policy && (body.family ?? family) === family;
    // What has the same rules calls the same chains, which have one place in all tables of a name.
    const same = alike.find((body) => body.table === table && fits(body));
    if (same?.calls.every((place) => places.has(place)) === true) return same;
    const calls = callsOf(chain, places);
    const before = alike.find(
      (body) => fits(body) && body.calls.every((place, index) => place === calls[index]),
    );
    if (before !== undefined) return before;
    const body = this.#addBody(chain, { table, places, family }, calls);
    alike.push(body);
    return body;
  }

  #addBody(chain: Chain, context: TableContext, calls: readonly number[]): Body {
    const { table } = context;
    const family = asksByFamily(chain) ? context.family : undefined;
    const body = { chain, record: this.recordCount, calls, table, family };
    this.recordCount += chain.rules.length + 1;
    this.all.push(body);
    return body;
  }
}

interface TableContext {
  readonly table: TableName;
  readonly places: TablePlaces;
  readonly family: Family;
}

/** Tells whether rules ask for sets that have other members in the other family. */
function asksByFamily({ rules }: Chain): boolean {
  for (const { matches } of rules) {
    for (const match of matches) {
      if (match.kind === "set" && typeof match.set !== "string") return true;
    }
  }
  return false;
}

/** The places of chains in all tables of one name, and which of them are in the latest. */
class TablePlaces {
  readonly #placeByChain = new Map<string, number>();
  readonly #names: string[] = [];
  /** By place the number of the last table that has the chain. */
  readonly #lastTable: number[] = [];
  #tables = 0;

  get count(): number {
    return this.#placeByChain.size;
  }

  /** The places of the chains of another table. */
  enter(chains: readonly Chain[]): Uint32Array {
    this.#tables += 1;
    const places = new Uint32Array(chains.length);
    let place = -1;
    for (const [at, { name }] of chains.entries()) {
      // Tables of one name have most chains in common, and those in one order.
      place = this.#names[place + 1] === name ? place + 1 : this.#placeOf(name);
      this.#lastTable[place] = this.#tables;
      places[at] = place;
    }
    return places;
  }

  /** The place of chains of a name, which have one from now on. */
  #placeOf(name: string): number {
    const before = this.#placeByChain.get(name);
    if (before !== undefined) return before;
    const place = this.#names.push(name) - 1;
    this.#placeByChain.set(name, place);
    return place;
  }

  /** Tells whether the latest table has the chain at a place. */
  has(place: number): boolean {
    return this.#lastTable[place] === this.#tables;
  }

  /** The place of a chain of the latest table. */
  find(name: string): number | undefined {
    const place = this.#placeByChain.get(name);
    return place !== undefined && this.has(place) ? place : undefined;
  }
}

function callsOf({ name, rules }: Chain, places: TablePlaces): number[] {
  let count = 0;
  for (const { target } of rules) if (calledBy(target) !== undefined) count += 1;
  // As much room as is needed: there are as many lists as chains.
  const calls = new Array<number>(count);
  let at = 0;
  for (const { target } of rules) {
    const called = calledBy(target);
    if (called === undefined) continue;
    const place = places.find(called);
    if (place === undefined) throw new Error(`bug: no chain ${called} for ${name}`);
    calls[at] = place;
    at += 1;
  }
  return calls;
}

function calledBy(target: Target | undefined): string | undefined {
  return target?.kind === "JUMP" || target?.kind === "GOTO" ? target.chain : undefined;
}

/** Whoever makes tables tells people of loops; here one would be walked for ever. */
function refuseCycle(places: Uint32Array, bodies: readonly Body[], placeCount: number): void {
  const state = new Uint8Array(placeCount);
  const bodyAt: (Body | undefined)[] = new Array<Body | undefined>(placeCount);
  for (const [at, body] of bodies.entries()) bodyAt[places[at] ?? 0] = body;
  /** By place the next of the calls. */
  const next = new Uint32Array(placeCount);
  const stack: number[] = [];
  for (const start of places) {
    if (state[start] !== DONE) stack.push(start);
    for (let place = stack.at(-1); place !== undefined; place = stack.at(-1)) {
      state[place] = OPEN;
      const call = next[place] ?? 0;
      const callee = bodyAt[place]?.calls[call];
      next[place] = call + 1;
      if (callee === undefined) {
        state[place] = DONE;
        stack.pop();
      } else if (state[callee] === OPEN) {
        throw new Error(`bug: chains loop at ${bodyAt[callee]?.chain.name ?? ""}`);
      } else if (state[callee] !== DONE) {
        stack.push(callee);
      }
    }
  }
}

const OPEN = 1;
const DONE = 2;
