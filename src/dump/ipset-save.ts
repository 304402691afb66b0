/**
 * The text of `ipset save`, of `ipset list`, and of files written by hand for `ipset restore`: what
 * their lines do to the sets, one after the other, and which of them the kernel refuses.
 */
import type { Diagnostic, OnDiagnostic, Place } from "../errors.ts";
import type { EntrySet, SetEntry } from "../tables/model.ts";
import { checkSetName, parseCreate } from "./ipset-create.ts";
import type { SetSettings } from "./ipset-create.ts";
import { entryKey, readExtras, readParts } from "./ipset-entry.ts";
import type { Extras } from "./ipset-entry.ts";
import { SetFault } from "./ipset-words.ts";
import { splitWords } from "./words.ts";
import type { Word } from "./words.ts";

/** A set as the lines so far have made it. */
interface OpenSet {
  readonly settings: SetSettings;
  /** By what tells them apart, in their order. */
  entries: Map<number | string, SetEntry>;
}

/** What the lines so far have made, by name. */
type OpenSets = Map<string, OpenSet>;

/** Parses the file's sets; a line that cannot be read, or that the kernel would refuse, is an error. */
export function parseIpsets(text: string, file: string, onDiagnostic: OnDiagnostic): EntrySet[] {
  const sets: OpenSets = new Map();
  for (const { line, raw } of isSetListing(text) ? savedLines(text) : lines(text)) {
    if (raw === "" || raw.startsWith("#")) continue;
    try {
      parseLine(raw, { sets, place: { file, line } });
    } catch (error) {
      if (!(error instanceof SetFault)) throw error;
      const severity: Diagnostic["severity"] = "error";
      const place = { file, line, column: error.column };
      onDiagnostic({ severity, code: "BAD_SET", message: error.message, place });
    }
  }
  return [...sets.values()].map(({ settings, entries }) => {
    return { ...settings, entries: [...entries.values()] };
  });
}

interface Line {
  readonly line: number;
  readonly raw: string;
}

/** Lines without building an array of a million strings. */
function* lines(text: string): Generator<Line> {
  let start = 0;
  for (let line = 1; start < text.length; line += 1) {
    const end = text.indexOf("\n", start);
    const stop = end < 0 ? text.length : end;
    yield { line, raw: text.slice(start, stop).trimEnd() };
    start = stop + 1;
  }
}

/** Tells whether a text is that of `ipset list`. */
export function isSetListing(text: string): boolean {
  return /^\s*Name: .*\nType: /.test(text);
}

/** > A list tells the same in other words; what a list of sets has may be listed behind it. */
function* savedLines(text: string): Generator<Line> {
  const later: Line[] = [];
  let name = "";
  let type = "";
  let members = false;
  for (const { line, raw } of lines(text)) {
    const [, field, value = ""] = /^(Name|Type|Header|Members):\s*(.*)$/.exec(raw) ?? [];
    if (raw === "") members = false;
    else if (members && type === "list:set")
      later.push({ line, raw: `add ${quoted(name)} ${raw}` });
    else if (members) yield { line, raw: `add ${quoted(name)} ${raw}` };
    else if (field === "Name") name = value;
    else if (field === "Type") type = value;
    else if (field === "Header") yield { line, raw: `create ${quoted(name)} ${type} ${value}` };
    else if (field === "Members") members = true;
  }
  yield* later;
}

function quoted(name: string): string {
  return name.includes(" ") ? `"${name}"` : name;
}

interface Command {
  readonly words: readonly Word[];
  readonly sets: OpenSets;
  readonly place: Place;
  /** What is there already is no fault, and neither is what is not there. */
  readonly exist: boolean;
  /** Behind the line's end. */
  readonly end: number;
}

const COMMANDS: Readonly<Record<string, ((command: Command) => void) | undefined>> = {
  ...named(createSet, "create", "-N", "new", "n"),
  ...named(addEntries, "add", "-A", "a"),
  ...named(deleteEntries, "del", "-D", "d"),
  ...named(flushSets, "flush", "-F", "f"),
  ...named(destroySets, "destroy", "-X", "x"),
  ...named(renameSet, "rename", "-E", "e"),
  ...named(swapSets, "swap", "-W", "w"),
  ...named(() => undefined, "COMMIT", "quit"),
};

function named<Action>(action: Action, ...names: readonly string[]): Record<string, Action> {
  return Object.fromEntries(names.map((name) => [name, action]));
}

const EXIST: ReadonlySet<string> = new Set(["-exist", "--exist", "-!"]);
const QUIET: ReadonlySet<string> = new Set(["-quiet", "--quiet", "-q"]);

function isFlag({ text, quoted: inQuotes }: Word): boolean {
  return !inQuotes && (EXIST.has(text) || QUIET.has(text));
}

function parseLine(raw: string, around: Pick<Command, "sets" | "place">): void {
  const all = splitWords(raw, false);
  if (all === undefined) throw new SetFault("a quote is not closed", { column: 1 });
  // Most lines of a million have none.
  const flags = raw.includes("-") ? all.filter(isFlag) : [];
  const [command, ...words] =
    flags.length === 0 ? all : all.filter((word) => !flags.includes(word));
  if (command === undefined) return;
  const action = Object.hasOwn(COMMANDS, command.text) ? COMMANDS[command.text] : undefined;
  if (action === undefined) {
    throw new SetFault(
      `"${command.text}" is no line of ipset save; expected create or add`,
      command,
    );
  }
  const exist = flags.some(({ text }) => EXIST.has(text));
  action({ ...around, words, exist, end: raw.length + 1 });
}

function createSet({ words, sets, exist, place }: Command): void {
  const settings = { ...parseCreate(words), place };
  const there = sets.get(settings.name);
  if (there === undefined) {
    sets.set(settings.name, { settings, entries: new Map() });
  } else if (!exist || !isSame(there.settings, settings)) {
    throw new SetFault(`set ${settings.name} is there already`, words[0] ?? { column: 1 });
  }
}

/** > What the kernel compares where -exist is said. */
function isSame(one: SetSettings, other: SetSettings): boolean {
  const facts = (set: SetSettings): string =>
    JSON.stringify([
      ...[set.type, set.mostEntries, set.timeoutSeconds, set.netmaskBits, set.bitmask?.words],
      ...[set.markMask, set.range, set.counters, set.comment, set.skbinfo, set.forceadd],
    ]);
  return facts(one) === facts(other);
}

function setNamed(word: Word | undefined, sets: OpenSets, end: number): OpenSet {
  if (word === undefined) throw new SetFault("the name of a set is missing", { column: end });
  const set = sets.get(word.text);
  if (set === undefined) {
    throw new SetFault(`there is no set ${word.text}: create stands before add`, word);
  }
  return set;
}

function addEntries({ words, sets, exist, end }: Command): void {
  const [name, member, ...options] = words;
  const set = setNamed(name, sets, end);
  if (member === undefined) throw new SetFault("an entry is missing", { column: end });
  const extras = readExtras(options, set.settings);
  if (set.settings.type === "list:set") checkMember(member, sets);
  for (const parts of readParts(member, set.settings)) {
    const key = entryKey(parts, set.settings.type);
    const old = set.entries.get(key);
    if (old !== undefined) {
      const awaitsMac = parts.mac !== undefined && old.mac === undefined;
      if (!exist && !awaitsMac) {
        throw new SetFault(`${member.text} is in the set already, and -exist is not said`, member);
      }
      const whole = parts.mac === undefined ? { ...parts, ...macOf(old) } : parts;
      set.entries.set(key, completeEntry(whole, extras.entry, { set: set.settings, old }));
      continue;
    }
    refuseFull(set, member);
    const entry = completeEntry(parts, extras.entry, { set: set.settings, old });
    if (extras.place === undefined) set.entries.set(key, entry);
    else insertEntry(set, entry, extras.place);
  }
}

function macOf({ mac }: SetEntry): Pick<SetEntry, "mac"> {
  return mac === undefined ? {} : { mac };
}

/** > A list has sets that are there and are no lists. */
function checkMember(member: Word, sets: OpenSets): void {
  const set = sets.get(member.text);
  if (set === undefined) throw new SetFault(`there is no set ${member.text}`, member);
  if (set.settings.type === "list:set") {
    throw new SetFault(`${member.text} is a list, which no list can have`, member);
  }
}

/** > With forceadd something that is there would be put out; which, hangs on how the kernel hashes. */
function refuseFull({ settings, entries }: OpenSet, member: Word): void {
  if (settings.mostEntries === undefined || entries.size < settings.mostEntries) return;
  throw new SetFault(
    `${member.text}: the set has ${settings.mostEntries} entries, its most`,
    member,
  );
}

/** > What is not said is the set's, or nothing; only counters stay as they were. */
function completeEntry(
  parts: SetEntry,
  extras: SetEntry,
  { set, old }: { readonly set: SetSettings; readonly old: SetEntry | undefined },
): SetEntry {
  const { timeoutSeconds, counters } = set;
  const bare = timeoutSeconds === undefined && counters !== true;
  if (bare && Object.keys(extras).length === 0) return parts;
  return {
    ...parts,
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(counters === true ? { packets: old?.packets ?? 0, bytes: old?.bytes ?? 0 } : {}),
    ...extras,
  };
}

function insertEntry(set: OpenSet, entry: SetEntry, place: NonNullable<Extras["place"]>): void {
  const entries = [...set.entries.values()];
  const at = entries.findIndex(({ member }) => member === place.member.text);
  if (at < 0) throw new SetFault(`${place.member.text} is not in the list`, place.member);
  entries.splice(place.side === "before" ? at : at + 1, 0, entry);
  const { type } = set.settings;
  set.entries = new Map(entries.map((each) => [entryKey(each, type), each]));
}

function deleteEntries({ words, sets, exist, end }: Command): void {
  const [name, member, option] = words;
  const set = setNamed(name, sets, end);
  if (member === undefined) throw new SetFault("an entry is missing", { column: end });
  if (option !== undefined) throw new SetFault(`del: unknown option "${option.text}"`, option);
  for (const entry of readParts(member, set.settings)) {
    const gone = set.entries.delete(entryKey(entry, set.settings.type));
    if (gone || exist) continue;
    throw new SetFault(`${member.text} is not in the set, and -exist is not said`, member);
  }
}

function flushSets({ words, sets, end }: Command): void {
  const [name] = words;
  for (const set of name === undefined ? sets.values() : [setNamed(name, sets, end)]) {
    set.entries.clear();
  }
}

function destroySets({ words, sets, end }: Command): void {
  const [name] = words;
  if (name !== undefined) setNamed(name, sets, end);
  const going = name === undefined ? [...sets.keys()] : [name.text];
  const listed = listedSets(sets);
  const held = going.find((each) => listed.has(each));
  if (held !== undefined) throw new SetFault(`set ${held} is in a list`, name ?? { column: 1 });
  for (const each of going) sets.delete(each);
}

function listedSets(sets: OpenSets): Set<string> {
  const listed = new Set<string>();
  for (const { settings, entries } of sets.values()) {
    if (settings.type !== "list:set") continue;
    for (const { member = "" } of entries.values()) listed.add(member);
  }
  return listed;
}

function renameSet({ words, sets, end }: Command): void {
  const [from, to] = words;
  const set = setNamed(from, sets, end);
  if (to === undefined) throw new SetFault("the new name is missing", { column: end });
  checkSetName(to);
  if (sets.has(to.text)) throw new SetFault(`set ${to.text} is there already`, to);
  if (listedSets(sets).has(set.settings.name)) {
    throw new SetFault(`set ${set.settings.name} is in a list`, from ?? { column: 1 });
  }
  const renamed = { ...set, settings: { ...set.settings, name: to.text } };
  const all = [...sets].map(([name, each]): [string, OpenSet] =>
    each === set ? [to.text, renamed] : [name, each],
  );
  sets.clear();
  for (const [name, each] of all) sets.set(name, each);
}

function swapSets({ words, sets, end }: Command): void {
  const one = setNamed(words[0], sets, end);
  const other = setNamed(words[1], sets, end);
  const { name, type, family } = one.settings;
  if (type !== other.settings.type || family !== other.settings.family) {
    throw new SetFault("sets of different types cannot be swapped", words[0] ?? { column: 1 });
  }
  sets.set(name, { ...other, settings: { ...other.settings, name } });
  const otherName = other.settings.name;
  sets.set(otherName, { ...one, settings: { ...one.settings, name: otherName } });
}
