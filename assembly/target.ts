// What a rule's target does to the packet and its connection: the switch, and the targets that are a
// line or two. Targets that move the walk itself are in traverse.ts.
import { attempt } from "./attempt";
import { ask } from "./fork";
import {
  CONTINUE_MARKS,
  REASON_NO_SOCKET,
  REASON_NOT_MODELLED,
  REASON_QUEUE,
  REJECT_TCP_RESET,
  TARGET_CONNMARK,
  TARGET_CONTINUE,
  TARGET_CT,
  TARGET_DNAT,
  TARGET_ECN,
  TARGET_MARK,
  TARGET_MASQUERADE,
  TARGET_NETMAP,
  TARGET_NFQUEUE,
  TARGET_OPAQUE,
  TARGET_REDIRECT,
  TARGET_REJECT,
  TARGET_SET,
  TARGET_SNAT,
  TARGET_TCPMSS,
  TARGET_TCPOPTSTRIP,
  TARGET_TOS,
  TARGET_TPROXY,
  TARGET_TTL,
} from "./layout";
import { forgetMemos } from "./memo";
import { Rule } from "./rule";
import { applyConnmark } from "./target/connmark";
import { applyCt } from "./target/ct";
import { EFFECT_ACCEPT, EFFECT_CONTINUE, EFFECT_DROP } from "./target/effect";
import { applyTos, applyTtl } from "./target/header";
import { applyMark } from "./target/mark";
import { mapNetwork, masquerade, redirect, translateFrom, translateTo } from "./target/nat";
import { changeEcn, lowerMss, stripOptions } from "./target/tcp";
import { applySet } from "./target/set";
import { closeTcp } from "./tcp-track";
import { ENTRY_NONE, tracking } from "./tracking";
import { walk } from "./walk";

/** Carries out the target of the rule under way. `index` is the rule's. */
export function applyTarget(rule: Rule, index: u32): u32 {
  const payload: usize = rule.matchesEnd;
  switch (<i32>rule.target) {
    case TARGET_MARK:
      applyMark(payload);
      return EFFECT_CONTINUE;
    case TARGET_REJECT:
      walk.reject = load<u8>(payload);
      if (walk.reject == REJECT_TCP_RESET) {
        walk.volatile = true;
        if (tracking.entry != ENTRY_NONE) closeTcp(tracking.entry, walk.packet);
        else walk.answeredByReset = attempt.confirmed;
      }
      return EFFECT_DROP;
    case TARGET_DNAT:
      return translateTo(payload, index);
    case TARGET_REDIRECT:
      return redirect(payload, index);
    case TARGET_SNAT:
      return translateFrom(payload);
    case TARGET_MASQUERADE:
      return masquerade(payload);
    case TARGET_NETMAP:
      return mapNetwork(payload);
    case TARGET_CONNMARK:
      applyConnmark(payload);
      return EFFECT_CONTINUE;
    case TARGET_CT:
      applyCt(payload, index);
      return EFFECT_CONTINUE;
    case TARGET_TTL:
      walk.volatile = true;
      applyTtl(payload);
      return EFFECT_CONTINUE;
    case TARGET_TOS:
      applyTos(payload);
      return EFFECT_CONTINUE;
    case TARGET_SET:
      walk.volatile = true;
      forgetMemos();
      applySet(payload, index);
      return EFFECT_CONTINUE;
    case TARGET_CONTINUE:
      if ((load<u8>(payload) & CONTINUE_MARKS) != 0) walk.markUnknown = 0xffffffff;
      return EFFECT_CONTINUE;
    case TARGET_ECN:
      walk.volatile = true;
      return changeEcn(payload) ? EFFECT_CONTINUE : EFFECT_DROP;
    case TARGET_TCPMSS:
      walk.volatile = true;
      return lowerMss(payload) ? EFFECT_CONTINUE : EFFECT_DROP;
    case TARGET_TCPOPTSTRIP:
      walk.volatile = true;
      return stripOptions(payload) ? EFFECT_CONTINUE : EFFECT_DROP;
    case TARGET_TPROXY:
      return applyProxy(payload, index);
    case TARGET_NFQUEUE:
      return applyQueue(index);
    case TARGET_OPAQUE:
      return applyOpaque(index);
    default:
      return unreachable();
  }
}

// A target that is not modelled may do anything that a target can do.
function applyOpaque(index: u32): u32 {
  const question = (<u64>index) << 2;
  walk.markUnknown = 0xffffffff;
  walk.rewritten = true;
  if (ask(QUESTION_OPAQUE | question, REASON_NOT_MODELLED, index)) return EFFECT_CONTINUE;
  const accepts = ask(QUESTION_OPAQUE | question | 1, REASON_NOT_MODELLED, index);
  return accepts ? EFFECT_ACCEPT : EFFECT_DROP;
}

// > Without a socket that listens the packet is dropped; which do, no capture shows.
function applyProxy(payload: usize, index: u32): u32 {
  const listens = ask(QUESTION_OPAQUE | ((<u64>index) << 2), REASON_NO_SOCKET, index);
  if (!listens) return EFFECT_DROP;
  applyMark(payload);
  walk.proxied = true;
  return EFFECT_ACCEPT;
}

// User space decides; what it says nobody knows.
function applyQueue(index: u32): u32 {
  const accepts = ask(QUESTION_OPAQUE | ((<u64>index) << 2), REASON_QUEUE, index);
  return accepts ? EFFECT_ACCEPT : EFFECT_DROP;
}

const QUESTION_OPAQUE: u64 = 1 << 62;
