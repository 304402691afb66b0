/**
 * Which chains have their records in common. An endpoint's chain is its own by name and by whom its rules stand
 * for; the rules are the same for every endpoint that the same policies select, and in both families; where they ask
 * for sets, each family has records of its own. The records say where a jump leads by the chain's place in its
 * table, so that also chains of several tables can have the same: chains of one name have one place in all tables of
 * a name.
 */
import type { Family } from "../net/address.ts";
import type { Chain, TableName } from "../tables/model.ts";
import type { RecordList } from "./record-list.ts";
import type { PlacedTable } from "./rule-list.ts";
import { calledBy } from "./rule-packer.ts";
import type { RulePacker } from "./rule-packer.ts";

/** A table, and of each of its chains the place and the index of the first record. */
export interface PackedTable {
  readonly table: PlacedTable;
  readonly places: Uint32Array;
  readonly records: Uint32Array;
  /** TRACKS, REASSEMBLES, COUNTS and LIMITS, as far as any rule needs them. */
  readonly needs: number;
  /** Of all tables of its name. */
  readonly allPlaces: { readonly count: number };
}

/** Consecutive records, of rules that a chain has. */
interface Body {
  /** Index of the first. */
  readonly record: number;
  readonly needs: number;
  readonly policy: Chain["policy"];
  /** The places of chains that it calls are those of tables of this name. */
  readonly table: TableName;
  /** Only of its tables, as rules ask for its sets. Undefined: of those of both. */
  readonly family: Family | undefined;
  /** The one of the same rules that was made before. */
  readonly before: Body | undefined;
}

interface TableContext {
  readonly table: TableName;
  readonly places: TablePlaces;
  readonly family: Family;
}

/** Packs the rules of chains where no chain before has the same records. */
export class BodyList {
  readonly #packer: RulePacker;
  readonly #records: RecordList;
  readonly #apart: boolean;
  readonly #bodyByRules = new Map<object, Body>();
  readonly #placesByTable = new Map<TableName, TablePlaces>();

  /**
   * @param records those that the packer writes
   * @param apart every chain object has a body of its own
   */
  constructor(packer: RulePacker, records: RecordList, apart: boolean) {
    this.#packer = packer;
    this.#records = records;
    this.#apart = apart;
  }

  /**
   * Packs a table; what its chains jump to is in it.
   *
   * @throws Error for loops, unknown chains and sets
   */
  pack(table: PlacedTable): PackedTable {
    const { name, chains, ruleset } = table;
    const placesOfName = this.#placesByTable.get(name) ?? new TablePlaces();
    this.#placesByTable.set(name, placesOfName);
    const places = placesOfName.enter(chains);
    const context = { table: name, places: placesOfName, family: ruleset.family };
    const records = new Uint32Array(chains.length);
    let needs = 0;
    chains.forEach((chain, at) => {
      const body = this.#bodyOf(chain, context);
      records[at] = body.record;
      needs |= body.needs;
    });
    const packed = { table, places, records, needs, allPlaces: placesOfName };
    refuseCycle(packed, this.#records);
    return packed;
  }

  #bodyOf(chain: Chain, context: TableContext): Body {
    const { table, family, places } = context;
    const { policy } = chain;
    const rules = this.#apart ? chain : chain.rules;
    const last = this.#bodyByRules.get(rules);
    for (let body = last; body !== undefined; body = body.before) {
      if (body.policy !== policy || (body.family ?? family) !== family) continue;
      if (this.#callsAlike(body, chain, context)) return body;
    }
    const { record, needs, asksByFamily } = this.#packer.pack(chain, places);
    const own = asksByFamily ? family : undefined;
    const body: Body = { record, needs, policy, table, family: own, before: last };
    this.#bodyByRules.set(rules, body);
    return body;
  }

  /** Tells whether the records of the same rules call the same chains in another table. */
  #callsAlike(body: Body, { rules }: Chain, { table, places }: TableContext): boolean {
    const records = this.#records;
    let call = records.findCall(body.record);
    // What has the same rules calls the same chains, which have one place in all tables of a name.
    if (body.table === table) {
      while (call !== undefined && places.has(records.calledAt(call)))
        call = records.findCall(call + 1);
      return call === undefined;
    }
    for (const { target } of rules) {
      const called = calledBy(target);
      if (called === undefined) continue;
      if (call === undefined || places.find(called) !== records.calledAt(call)) return false;
      call = records.findCall(call + 1);
    }
    return call === undefined;
  }
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
    chains.forEach(({ name }, at) => {
      // Tables of one name have most chains in common, and those in one order.
      place = this.#names[place + 1] === name ? place + 1 : this.#placeOf(name);
      this.#lastTable[place] = this.#tables;
      places[at] = place;
    });
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

/** Whoever makes tables tells people of loops; here one would be walked for ever. */
function refuseCycle(
  { table: { chains }, places, records, allPlaces: { count } }: PackedTable,
  list: RecordList,
): void {
  const state = new Uint8Array(count);
  /** By place the record from which on calls were not followed yet. */
  const next = new Uint32Array(count);
  places.forEach((place, at) => {
    next[place] = records[at] ?? 0;
  });
  const callers = new Uint32Array(count);
  for (const start of places) {
    if (state[start] === DONE) continue;
    let depth = 0;
    let place = start;
    while (true) {
      state[place] = OPEN;
      const call = list.findCall(next[place] ?? 0);
      if (call === undefined) {
        state[place] = DONE;
        if (depth === 0) break;
        depth -= 1;
        place = callers[depth] ?? 0;
        continue;
      }
      next[place] = call + 1;
      const callee = list.calledAt(call);
      if (state[callee] === OPEN) {
        throw new Error(`bug: chains loop at ${chains[places.indexOf(callee)]?.name ?? ""}`);
      }
      if (state[callee] === DONE) continue;
      callers[depth] = place;
      depth += 1;
      place = callee;
    }
  }
}

const OPEN = 1;
const DONE = 2;
