// `-m limit`: a token bucket for each rule. iptables-nft has the kernel's own expression for it, with a
// bucket of nanoseconds. Source: Linux, xt_limit.c and nft_limit.c; kernel lab.
import { MATCH_HEADER_SIZE } from "../layout";
import { walk } from "../walk";
import {
  blurBucket,
  Bucket,
  CLOCK_SLACK,
  refillBucket,
  takeFromBucket,
  Terms,
  TICK_SLACK,
  touchBucket,
} from "./bucket";

const LEGACY: usize = MATCH_HEADER_SIZE;
const NFT: usize = LEGACY + offsetof<Terms>();
const BUCKET: usize = NFT + offsetof<Terms>();

/** A packet is left in the bucket, and is taken. */
export function matchLimit(match: usize, rule: i32): bool {
  const bucket = changetype<Bucket>(match + BUCKET);
  const terms = changetype<Terms>(match + (walk.nft ? NFT : LEGACY));
  const slack = walk.nft ? CLOCK_SLACK : TICK_SLACK;
  refillBucket(bucket, terms, slack);
  touchBucket(bucket);
  return takeFromBucket(bucket, terms, slack, rule);
}

/** Packets may have been taken. */
export function blurLimit(match: usize): void {
  const bucket = changetype<Bucket>(match + BUCKET);
  blurBucket(bucket, changetype<Terms>(match + (walk.nft ? NFT : LEGACY)));
}
