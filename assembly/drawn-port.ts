// Looking entries up by their answers where the node drew the source's port, or where the translation is hidden.
import { Entry, ENTRY_UNDECIDED } from "./entry";
import { entryAt } from "./entry-list";
import { NODE_BACKEND, NODE_REPLY, NODE_SOURCE, nodeEntry, nodeOf } from "./entry-tuples";
import { findNode, hasNodes, nextNode } from "./flow-table";
import { ask } from "./fork";
import { key, SavedKey, savedKey } from "./key";
import { REASON_NAT_PORT, RULE_NONE } from "./layout";
import { tuplesOf } from "./tuples";
import { exists } from "./worlds";

/** Tells whether answers from where `key` comes from go to the port of that choice by the node. */
export function isDrawTaken(draw: u32): bool {
  for (let node = findBackend(); node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    if (tuplesOf(entryAt(number)).draw == draw && exists(number)) return true;
  }
  return false;
}

// Out of more ports than these, that the node draws a certain one is left out of account.
const PORTS_FEW: u32 = 1024;

/**
 * Tells whether `key` is the tuple of answers to a connection that drew its port: asks where it drew from so
 * few that it may well have been this one.
 */
export function isTupleDrawn(): bool {
  const icmp = key.protocol == 1 || key.protocol == 58;
  const port = icmp ? key.sport : key.dport;
  for (let node = findBackend(); node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    const entry = entryAt(number);
    if (
      <u32>tuplesOf(entry).portLast - tuplesOf(entry).portFirst >= PORTS_FEW ||
      !mayHavePort(entry, port)
    )
      continue;
    if (exists(number) && ask(QUESTION_TAKEN | number, REASON_NAT_PORT, RULE_NONE)) return true;
  }
  return false;
}

const QUESTION_TAKEN: u64 = 1 << 49;

// The first connection with a port of the node's choice whose answers come from where `key` comes from and
// go where it goes; `key` is as before afterwards.
function findBackend(): i64 {
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  if (key.protocol == 1 || key.protocol == 58) key.sport = 0;
  else key.dport = 0;
  const node = findNode(1 << NODE_BACKEND);
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  return node;
}

/**
 * Looks for a connection whose answers come from where `key` comes from, to an address (or any) at a port
 * that the node chose itself, or from anywhere to a client whose translation is hidden: asks whether `key`
 * is one of them. @returns node number, or -1
 */
export function findPortUnknown(): i64 {
  if (!hasNodes((1 << NODE_BACKEND) | (1 << NODE_SOURCE))) return -1;
  const saved = changetype<usize>(savedKey);
  memory.copy(saved, changetype<usize>(key), offsetof<SavedKey>());
  const icmp = key.protocol == 1 || key.protocol == 58;
  const port = icmp ? key.sport : key.dport;
  if (icmp) key.sport = 0;
  else key.dport = 0;
  let found = askForPort(findNode(1 << NODE_BACKEND), port);
  if (found < 0) {
    memory.fill(changetype<usize>(key) + 16, 0, 16);
    found = askForPort(findNode(1 << NODE_BACKEND), port);
  }
  memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  if (found < 0) {
    memory.copy(changetype<usize>(key), changetype<usize>(key) + 16, 16);
    memory.fill(changetype<usize>(key) + 16, 0, 16);
    key.sport = port;
    key.dport = 0;
    found = askForHidden(findNode(1 << NODE_SOURCE));
    memory.copy(changetype<usize>(key), saved, offsetof<SavedKey>());
  }
  return found;
}

const QUESTION_PORT: u64 = 1 << 53;

// Of connections of one client, those whose translation is hidden.
function askForHidden(first: i64): i64 {
  for (let node = first; node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    if ((entryAt(number).flags & ENTRY_UNDECIDED) == 0) continue;
    if (ask(QUESTION_PORT | number, REASON_NAT_PORT, RULE_NONE)) return nodeOf(number, NODE_REPLY);
  }
  return -1;
}

function askForPort(first: i64, port: u16): i64 {
  for (let node = first; node >= 0; node = nextNode(node)) {
    const number = nodeEntry(node);
    const entry = entryAt(number);
    if (!mayHavePort(entry, port)) continue;
    // Whether one exists that it does not belong to makes no difference.
    if (ask(QUESTION_PORT | number, REASON_NAT_PORT, RULE_NONE)) return nodeOf(number, NODE_REPLY);
  }
  return -1;
}

// Of ports that nobody gave a range for, the kernel draws from the wanted one's class, and never the wanted
// one, which was taken. Source: Linux, nf_nat_core.c, nf_nat_l4proto_unique_tuple().
function mayHavePort(entry: Entry, port: u16): bool {
  if (port < tuplesOf(entry).portFirst || port > tuplesOf(entry).portLast) return false;
  return port != tuplesOf(entry).fromPort || port == 0 || (entry.flags & ENTRY_UNDECIDED) != 0;
}
