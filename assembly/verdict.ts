// The view of the verdict record, checked against layout.ts.
import { clearBytes } from "./bytes";
import {
  RULE_NONE,
  ROUTE_NONE,
  VERDICT_CT_STATE,
  VERDICT_DECIDER,
  VERDICT_DST_ROUTE,
  VERDICT_DUPLICATE_OF,
  VERDICT_FLAGS,
  VERDICT_HOOK,
  VERDICT_IN_INTERFACE,
  VERDICT_JUDGED_DPORT,
  VERDICT_JUDGED_DST,
  VERDICT_JUDGED_SPORT,
  VERDICT_JUDGED_SRC,
  VERDICT_OUT_INTERFACE,
  VERDICT_REASON,
  VERDICT_REJECT,
  VERDICT_RULE,
  VERDICT_SIZE,
  VERDICT_SRC_ROUTE,
  VERDICT_TABLE,
  VERDICT_UNDECIDED_RULE,
} from "./layout";

/** What is said of one packet. */
@unmanaged
export class Verdict {
  /** One of VERDICT_ALLOW, VERDICT_DROP, VERDICT_UNFILTERED, VERDICT_UNKNOWN. */
  verdict: u8;
  reason: u8;
  ctState: u8;
  hook: u8;
  rule: i32;
  reject: u8;
  flags: u8;
  table: u8;
  unused: u8;
  decider: i32;
  outInterface: u32;
  undecidedRule: i32;
  srcRoute: i32;
  dstRoute: i32;
  duplicateOf: u64;
  judgedSrc0: u32;
  judgedSrc1: u32;
  judgedSrc2: u32;
  judgedSrc3: u32;
  judgedDst0: u32;
  judgedDst1: u32;
  judgedDst2: u32;
  judgedDst3: u32;
  judgedSport: u16;
  judgedDport: u16;
  inInterface: u32;
}

if (offsetof<Verdict>("reason") != VERDICT_REASON) ERROR("VERDICT_REASON");
if (offsetof<Verdict>("ctState") != VERDICT_CT_STATE) ERROR("VERDICT_CT_STATE");
if (offsetof<Verdict>("hook") != VERDICT_HOOK) ERROR("VERDICT_HOOK");
if (offsetof<Verdict>("rule") != VERDICT_RULE) ERROR("VERDICT_RULE");
if (offsetof<Verdict>("reject") != VERDICT_REJECT) ERROR("VERDICT_REJECT");
if (offsetof<Verdict>("flags") != VERDICT_FLAGS) ERROR("VERDICT_FLAGS");
if (offsetof<Verdict>("inInterface") != VERDICT_IN_INTERFACE) ERROR("VERDICT_IN_INTERFACE");
if (offsetof<Verdict>("decider") != VERDICT_DECIDER) ERROR("VERDICT_DECIDER");
if (offsetof<Verdict>("outInterface") != VERDICT_OUT_INTERFACE) ERROR("VERDICT_OUT_INTERFACE");
if (offsetof<Verdict>("table") != VERDICT_TABLE) ERROR("VERDICT_TABLE");
if (offsetof<Verdict>("undecidedRule") != VERDICT_UNDECIDED_RULE) ERROR("VERDICT_UNDECIDED_RULE");
if (offsetof<Verdict>("srcRoute") != VERDICT_SRC_ROUTE) ERROR("VERDICT_SRC_ROUTE");
if (offsetof<Verdict>("dstRoute") != VERDICT_DST_ROUTE) ERROR("VERDICT_DST_ROUTE");
if (offsetof<Verdict>("duplicateOf") != VERDICT_DUPLICATE_OF) ERROR("VERDICT_DUPLICATE_OF");
if (offsetof<Verdict>("judgedSrc0") != VERDICT_JUDGED_SRC) ERROR("VERDICT_JUDGED_SRC");
if (offsetof<Verdict>("judgedDst0") != VERDICT_JUDGED_DST) ERROR("VERDICT_JUDGED_DST");
if (offsetof<Verdict>("judgedSport") != VERDICT_JUDGED_SPORT) ERROR("VERDICT_JUDGED_SPORT");
if (offsetof<Verdict>("judgedDport") != VERDICT_JUDGED_DPORT) ERROR("VERDICT_JUDGED_DPORT");
if (offsetof<Verdict>() != VERDICT_SIZE) ERROR("VERDICT_SIZE");
if (VERDICT_SIZE % 8 != 0) ERROR("verdicts are compared and hashed by eight bytes");

/** Empties a verdict: no rule, no route. */
export function clearVerdict(verdict: Verdict): void {
  clearBytes(changetype<usize>(verdict), VERDICT_SIZE);
  verdict.rule = RULE_NONE;
  verdict.decider = RULE_NONE;
  verdict.undecidedRule = RULE_NONE;
  verdict.srcRoute = ROUTE_NONE;
  verdict.dstRoute = ROUTE_NONE;
}
