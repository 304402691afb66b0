// One packet's way through the hooks, tried once. The way itself is that of a real node (node-path.ts)
// or of a cluster seen as one node (cluster-path.ts).
// Source: semantics.md H-1 to H-6; Linux, net/netfilter/core.c.
import { attempt, end, startAttempt } from "./attempt";
import { tryClusterPath } from "./cluster-path";
import {
  CT_ESTABLISHED,
  CT_RELATED,
  CT_UNTRACKED,
  REASON_CHAIN_POLICY,
  REASON_MISSING_DST,
  REASON_MISSING_SRC,
  REASON_RULE,
  RULE_NONE,
  VERDICT_ALLOW,
  VERDICT_UNKNOWN,
} from "./layout";
import { tryNodePath } from "./node-path";
import { Packet } from "./records";
import { isRealNode, routeOf } from "./route";
import { startPath } from "./traverse";
import { startWalk, walk } from "./walk";

/** Tries the packet's way once; answers to missing facts come from fork.ts. */
export function tryHooks(packet: Packet): void {
  startPath();
  startAttempt();
  startWalk(packet);
  const family: u32 = packet.family;
  attempt.srcRoute = routeOf(family, walk.src0, walk.src1, walk.src2, walk.src3);
  attempt.dstRoute = routeOf(family, walk.dst0, walk.dst1, walk.dst2, walk.dst3);
  if (isRealNode() ? tryNodePath(packet) : tryClusterPath(packet)) conclude();
}

// The packet got through its last hook.
function conclude(): void {
  // What policies bind an endpoint that is missing from the snapshot, nobody said; packets of a flow
  // that was let through need none.
  if ((walk.ctState & (CT_ESTABLISHED | CT_RELATED | CT_UNTRACKED)) == 0) {
    if (walk.srcMissing) {
      end(VERDICT_UNKNOWN, REASON_MISSING_SRC);
      return;
    }
    if (walk.dstMissing) {
      end(VERDICT_UNKNOWN, REASON_MISSING_DST);
      return;
    }
  }
  const byRule = walk.rule != RULE_NONE && !walk.ruleIsEnd;
  end(VERDICT_ALLOW, byRule ? REASON_RULE : REASON_CHAIN_POLICY);
}
