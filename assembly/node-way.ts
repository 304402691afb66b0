// By which of its interfaces a node seen as one with others sends to them, and hears of them: as
// routes say, or as the capture shows, which may have been taken on it.
import { attempt } from "./attempt";
import { ask } from "./fork";
import { captureInterfaceNumber, captureInterfaceStand } from "./interface";
import { CAPTURED_PERHAPS_ELSEWHERE, REASON_NO_WAY, RULE_NONE } from "./layout";
import { routeNode, tunnelOf, uplinkOf } from "./route";
import { walk } from "./walk";

const QUESTION_SHOWN: u64 = (1 << 46) | (8 << 32);

let others: usize = 0;
let names: usize = 0;
let tunnelName: u32 = 0;
let nodeCount: u32 = 0;

/**
 * Sets words by the nodes' numbers: an interface of the node that no host endpoint names, and what
 * captures call that by which it is reached; 0: nothing tells these apart, or what it is called.
 *
 * @param tunnelNumber what tunnels' devices are called in captures
 */
export function setShownInterfaces(
  otherWords: usize,
  nameWords: usize,
  tunnelNumber: u32,
  count: u32,
): void {
  others = otherWords;
  names = nameWords;
  tunnelName = tunnelNumber;
  nodeCount = count;
}

/** The interface of a node; `wrapped`: what passes there is. */
export function nodeWay(node: u32, wrapped: bool): u32 {
  const way = wrapped ? tunnelOf(node) : uplinkOf(node);
  const captured = walk.packet.captureInterface;
  if (captureInterfaceStand(captured) != CAPTURED_PERHAPS_ELSEWHERE) return way;
  const other = wordOf(others, node);
  if (other == 0) return way;
  const seen = captureInterfaceNumber(captured);
  const shown = shownAt(node, seen, other);
  // It was taken at the other node that it passes.
  if (shown == way || (shown == other && isNameOfEnd(seen))) return way;
  return ask(QUESTION_SHOWN | (<u64>node), REASON_NO_WAY, RULE_NONE) ? way : shown;
}

function shownAt(node: u32, seen: u32, other: u32): u32 {
  if (seen == 0) return other;
  if (seen == tunnelName) return tunnelOf(node);
  return seen == wordOf(names, node) ? uplinkOf(node) : other;
}

function isNameOfEnd(seen: u32): bool {
  if (seen == 0) return false;
  const from = wordOf(names, routeNode(attempt.srcRoute));
  return seen == from || seen == wordOf(names, routeNode(attempt.dstRoute));
}

function wordOf(words: usize, node: u32): u32 {
  return node < nodeCount ? load<u32>(words + ((<usize>node) << 2)) : 0;
}
