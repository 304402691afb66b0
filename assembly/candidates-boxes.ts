// The boxes of a chain's rules: ranges of numbers that stand for what each rule asks for. A rule with lists of ports
// has a box for each pair of them.
import {
  BOX_OWNER,
  BOX_REACH,
  BOX_SIZE,
  ChainIndex,
  FIELD_DPORT,
  FIELD_DST,
  FIELD_INTERFACE,
  FIELD_PROTOCOL,
  FIELD_SPORT,
  FIELD_SRC,
  OWNER_SURE,
  placeOf,
} from "./candidates-index";
import { nameRank, namesAreTold, rankInterfaces } from "./candidates-interface";
import { addRange, makeRanks, rankOf, startRanks } from "./candidates-rank";
import {
  isFine,
  isAnyPort,
  isWhole,
  joinPorts,
  protocolLeast,
  protocolMost,
  readWish,
  WISH_DPORTS,
  WISH_DST,
  WISH_IN,
  WISH_OUT,
  WISH_SPORTS,
  WISH_SRC,
  wishIsAll,
  wishIsVain,
} from "./candidates-wish";
import { ruleAt } from "./rule";

// How many boxes a rule with lists of ports may have, and how many each of a chain's has on average at most.
const RULE_BOXES_MAX: u32 = 30;
const BOXES_EACH: u32 = 4;
const BOXES_FEW: u32 = 1024;

/** Boxes of the chain under way, BOX_SIZE each, in the order of their rules. */
export let boxes: usize = 0;
export let boxCount: u32 = 0;

/** Fills the boxes of a chain's rules, of so many records that there are. */
export function gatherBoxes(index: ChainIndex, family: u32, recordCount: u32): void {
  let wanted: u32 = 0;
  let arriving: u32 = 0;
  let leaving: u32 = 0;
  let fineSrc = false;
  let fineDst = false;
  const rules = index.end - index.first;
  for (let rule = index.first; rule < index.end; rule++) {
    readWish(ruleAt(rule), family);
    wanted += boxesWanted();
    if (isFine(WISH_SRC)) fineSrc = true;
    if (isFine(WISH_DST)) fineDst = true;
    if (!isWhole(WISH_IN)) arriving++;
    if (!isWhole(WISH_OUT)) leaving++;
  }
  index.leaving = leaving > arriving;
  if (arriving + leaving > 0) rankInterfaces(recordCount);
  if (fineSrc) index.srcRanks = <u32>rankAddresses(index, family, WISH_SRC);
  if (fineDst) index.dstRanks = <u32>rankAddresses(index, family, WISH_DST);
  // Where there are too many lists of ports, each is one range.
  const listed = wanted <= rules * BOXES_EACH + BOXES_FEW;
  boxes = heap.alloc(<usize>(listed ? wanted : rules) * BOX_SIZE);
  boxCount = 0;
  for (let rule = index.first; rule < index.end; rule++) {
    readWish(ruleAt(rule), family);
    if (!wishIsVain) putBoxes(index, rule, listed);
  }
}

function boxesWanted(): u32 {
  const wanted = load<u32>(WISH_SPORTS) * load<u32>(WISH_DPORTS);
  return wanted <= RULE_BOXES_MAX ? wanted : 1;
}

function putBoxes(index: ChainIndex, rule: u32, listed: bool): void {
  const other = index.leaving ? WISH_IN : WISH_OUT;
  const own = index.leaving ? WISH_OUT : WISH_IN;
  const single = !listed || boxesWanted() == 1;
  if (single) joinPorts();
  if (!isAnyPort(WISH_SPORTS)) index.asksSport = true;
  if (!isAnyPort(WISH_DPORTS)) index.asksDport = true;
  const sure = wishIsAll && isWhole(other) && (namesAreTold() || isWhole(own));
  const owner = (rule << 1) | (sure ? OWNER_SURE : 0);
  for (let sport: u32 = 0; sport < load<u32>(WISH_SPORTS); sport++) {
    for (let dport: u32 = 0; dport < load<u32>(WISH_DPORTS); dport++) {
      const box = boxes + <usize>boxCount * BOX_SIZE;
      putAddresses(box, FIELD_SRC, WISH_SRC, index.srcRanks);
      putAddresses(box, FIELD_DST, WISH_DST, index.dstRanks);
      putPorts(box, FIELD_SPORT, WISH_SPORTS, sport);
      putPorts(box, FIELD_DPORT, WISH_DPORTS, dport);
      putShort(box, FIELD_PROTOCOL, protocolLeast, protocolMost);
      putNames(box, own);
      store<u32>(box, owner, BOX_OWNER);
      boxCount++;
    }
  }
}

function putAddresses(box: usize, field: u32, range: usize, ranks: usize): void {
  let least = <u32>(load<u64>(range) >> 32);
  let most = <u32>(load<u64>(range, 16) >> 32);
  if (ranks != 0 && !isWhole(range)) {
    least = rankOf(ranks, load<u64>(range), load<u64>(range, 8));
    most = rankOf(ranks, load<u64>(range, 16), load<u64>(range, 24));
  }
  store<u32>(box + placeOf(field), least);
  store<u32>(box + BOX_REACH + placeOf(field), most - least);
}

function putPorts(box: usize, field: u32, list: usize, index: u32): void {
  const range = list + 4 + ((<usize>index) << 2);
  putShort(box, field, load<u16>(range), load<u16>(range, 2));
}

function putNames(box: usize, range: usize): void {
  if (isWhole(range)) {
    putShort(box, FIELD_INTERFACE, 0, 0xffff);
    return;
  }
  const least = nameRank(load<u64>(range), load<u64>(range, 8));
  putShort(box, FIELD_INTERFACE, least, nameRank(load<u64>(range, 16), load<u64>(range, 24)));
}

function putShort(box: usize, field: u32, least: u32, most: u32): void {
  store<u16>(box + placeOf(field), <u16>least);
  store<u16>(box + BOX_REACH + placeOf(field), <u16>(most - least));
}

/** Tells whether any rule asks for anything. */
export function boxesDiffer(): bool {
  for (let index: u32 = 0; index < boxCount; index++) {
    if (!isWholeBox(boxes + <usize>index * BOX_SIZE)) return true;
  }
  return boxCount == 0;
}

/** Tells whether a box is all that there is. */
export function isWholeBox(box: usize): bool {
  return (
    load<u64>(box, BOX_REACH) == u64.MAX_VALUE && load<u64>(box, BOX_REACH + 8) == WHOLE_SHORTS
  );
}

// Of the fields of 16 bits: ports, protocol, interface.
const WHOLE_SHORTS: u64 = 0xffff_00ff_ffff_ffff;

function rankAddresses(index: ChainIndex, family: u32, range: usize): usize {
  startRanks((index.end - index.first) * 2);
  for (let rule = index.first; rule < index.end; rule++) {
    readWish(ruleAt(rule), family);
    if (!isWhole(range)) addRange(range);
  }
  return makeRanks();
}
