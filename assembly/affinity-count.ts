// How visits are numbered, and which of the numbers are of visits of which nothing is known, or only whose they were.
import { clientFor, makeVague } from "./affinity-records";
import { now } from "./clock";
import { severalNodes } from "./route";
import { sharesStates } from "./shared-state";

/** Number of the newest visit; the first is 1. */
export let newest: u64 = 0;
/** The last visit of which not even the client is known, and its time. */
export let vague: u64 = 0;
export let vagueTime: u64 = 0;
/** Nothing holds that was known before this visit. */
export let forgotten: u64 = 0;
/** Visits of which it is not known to which lists they led, and how many clients may have made them. */
export let vagueVisits: u32 = 0;
export let vagueClients: u32 = 0;

/** Gives a visit its number. */
export function nextVisit(): void {
  newest++;
}

/** Nodes have other numbers from now on. */
export function forgetVisits(): void {
  if (!severalNodes()) return;
  visitByAnybody();
  forgotten = newest;
}

/** A visit of which nothing is known, not even whose it was. */
export function visitByAnybody(): void {
  if (!sharesStates()) return;
  newest++;
  vague = newest;
  vagueTime = now();
  vagueVisits++;
  vagueClients++;
}

/** A visit by a client of which nothing else is known. */
export function visitSomewhere(src: usize): void {
  if (!sharesStates()) return;
  newest++;
  const client = clientFor(src);
  if (client.wasVague == 0) vagueClients++;
  client.wasVague = 1;
  vagueVisits++;
  makeVague(client, newest, now());
}
